#!/usr/bin/env bash
# psql: the commands that people type. Any error of the server is one of the test.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ask() { psql -X -v ON_ERROR_STOP=1 -At "$@"; }
has() { grep -qE -- "$1" <<<"$2" || { printf 'no "%s" in:\n%s\n' "$1" "$2"; exit 1; }; }

has '^[1-9][0-9]*$' "$(ask -c 'SELECT count(*) FROM events')"
tables=$(ask -c '\d')
for table in events sessions offers chats conversions ledger; do has "public\|$table\|" "$tables"; done
has 'public\|events\|table' "$(ask -c '\dt')"
has 'public\|offers\|view' "$(ask -c '\dv')"
has 'public\|events\|' "$(ask -c '\dt+')"
columns=$(ask -c '\d events')
has '^account_id\|text' "$columns"
has '^event_time\|timestamp with time zone' "$columns"
has '^account_id\|text' "$(ask -c '\d+ events')"
has '^offer_outcome\|text' "$(ask -c '\d+ offers')"
has 'public' "$(ask -c '\dn')"
has "$PGUSER" "$(ask -c '\du')"
has "$PGDATABASE" "$(ask -c '\l')"
has 'window_funnel' "$(ask -c '\df window_funnel')"
has 'funnel_match' "$(ask -c '\df funnel*')"
has '^public\|offers\|view\|' "$(ask -c '\dp')"
has '^public\|events\|table\|' "$(ask -c '\dp events')"
view=$(ask -c '\sv offers')
has '^CREATE OR REPLACE VIEW public.offers AS' "$view"
has 'AS offer_outcome' "$view"
has '^public\|window_funnel\|' "$(ask -c '\df+ window_funnel')"
has '^public\|' "$(ask -c '\dn+')"
# What `\?` lists for looking at what there is, with and without more of it: none is an error of the server.
lists="d da dA dAc dAf dAo db dc dconfig dC dd dD ddp dE des det deu dew df dfa dfn dfp dft dfw dF dFd dFp dFt dg di dl dL dm dn do dp dP dPi dPt dPn
  dRp dRs drds ds dt dT du dv dx dy l z"
# More of these asks for functions that are not there.
less=" des det deu dew dF dFp dFt dRp "
for list in $lists; do
  for more in "" + S; do
    [[ "$more" != + || "$less" != *" $list "* ]] || continue
    # psql itself does not know all of these.
    said=$(ask -q -c "\\$list$more" 2>&1) || grep -q 'invalid command' <<<"$said" || { echo "\\$list$more: $said"; exit 1; }
    if grep -q '^ERROR' <<<"$said"; then echo "\\$list$more: $said"; exit 1; fi
  done
done
has 'funnel_units' "$(ask -c '\df funnel*')"
# Columns without a name have PostgreSQL's, as often as they want.
has '^date_trunc\|date_trunc\|\?column\?\|\?column\?$' \
  "$(psql -X -A -c "SELECT date_trunc('day', event_time), date_trunc('week', event_time), 1, 1 FROM events LIMIT 1")"
# There are none of these.
for nothing in '\dT' '\dT+' '\ddp' '\drds'; do [ -z "$(ask -q -t -c "$nothing")" ] || { echo "$nothing finds something"; exit 1; }; done
ask -q -c '\di' >"$work/indexes" 2>&1
ask -c '\dx' >"$work/extensions"
ask -c '\conninfo' >"$work/connection"
ask -c '\encoding' >"$work/encoding"

ask -c "\\copy (SELECT account_id, count(*) AS n FROM events GROUP BY 1 ORDER BY 1) TO '$work/copied.csv' WITH (FORMAT csv, HEADER)"
has '^account_id,n$' "$(head -1 "$work/copied.csv")"
has '^[0-9]+,[0-9]+$' "$(tail -1 "$work/copied.csv")"
ask -c "COPY (SELECT 'a' AS a, NULL AS b) TO STDOUT" >"$work/copied.txt"
[ "$(cat "$work/copied.txt")" = $'a\t\\N' ]

# Rows in parts.
has '^10000$' "$(ask -v FETCH_COUNT=1000 -c 'SELECT value FROM range(0, 10000)' | wc -l)"
has 'Projection|TableScan' "$(ask -c 'EXPLAIN SELECT account_id FROM events')"
has '^2024-03$' "$(ask -c "SELECT to_char(DATE '2024-03-04', 'YYYY-MM')")"

# An error ends the script with what was wrong, and where.
if said=$(ask -c 'SELECT acount_id FROM events' 2>&1); then echo "no error"; exit 1; fi
has 'ERROR: .*acount_id.*Did you mean' "$said"
if said=$(ask -c "COPY (SELECT 1) TO '$work/server.csv'" 2>&1); then echo "no error"; exit 1; fi
[ ! -e "$work/server.csv" ]
