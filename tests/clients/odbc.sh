#!/usr/bin/env bash
# psqlODBC through unixODBC: rows, tables, columns.
set -euo pipefail
driver=$(find /usr/lib -name psqlodbcw.so | head -1)
[ -n "$driver" ] || { echo "psqlODBC is missing; scripts/install-test-deps installs it"; exit 1; }
connection="DRIVER=$driver;Servername=$PGHOST;Port=$PGPORT;Database=$PGDATABASE;UserName=$PGUSER;ReadOnly=1"

ask() { isql -k "$connection" -v -b '-d|' <<<"$1" 2>&1; }
has() { grep -qE -- "$1" <<<"$2" || { printf 'no "%s" in:\n%s\n' "$1" "$2"; exit 1; }; }

has '^[1-9][0-9]*$' "$(ask 'SELECT count(*) FROM events')"
has '^2024-03-04$' "$(ask "SELECT DATE '2024-03-04' AS day")"
has '\|events\|' "$(ask 'help')"
has '\|account_id\|' "$(ask 'help events')"
has 'no_such_column' "$(ask 'SELECT no_such_column FROM events' || true)"
