# shellcheck shell=bash
# What the tests of the examples share; `scripts/test-clients` runs each `tests/batch/NAME` with these set:
#   ROOT      this repository             CACHE    where installed things stay
#   WORK      a folder of this run        READERS  Python with the readers
#   LAKES     lakes, and beside them `late` (records that came later) and `traffic/truth.json`:
#             `open` with nothing published, `published` with the days up to DAY_2
#   DAY_1, DAY_2   local days             ACCOUNT  the account of the questions
set -euo pipefail

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# Version of the tested program, for the table.
version() { echo "$*" >"$WORK/version"; }

# A lake of this test's own, a copy of one of LAKES. Sets what the examples are configured by.
lake() {
  rm -rf "$WORK/lake"
  cp -r "$LAKES/$1" "$WORK/lake"
  export FUNNEL_CONFIG="$WORK/funnel.toml" FUNNEL_EXPORT="$WORK/lake/export" FUNNEL_TIME_ZONE="America/New_York"
  # The simulator's accounts live in zones of their own.
  "$READERS" - "$LAKES/traffic/truth.json" >"$FUNNEL_CONFIG" <<PYTHON
import json, sys
print('[lake]\nurl = "$WORK/lake"')
for account, truth in json.load(open(sys.argv[1]))["accounts"].items():
    print(f'[accounts.{account}]\ntime_zone = "{truth["time_zone"]}"')
PYTHON
}

# The example as it is in the repository, where what it installed the last time still is; goes there.
example() {
  local home="$CACHE/examples/$1"
  mkdir -p "$home"
  find "$home" -mindepth 1 -maxdepth 1 ! -name .venv ! -name node_modules -exec rm -rf {} +
  (cd "$ROOT" && git ls-files -co -z --exclude-standard -- "examples/$1" | tar -c --null -T -) | tar -x -C "$home" --strip-components=2
  cd "$home"
}

# The commands under a heading of the example's README.
printed() {
  local commands
  commands=$(awk -v heading="## $1" '
    /^## / { here = $0 == heading }
    here && /^```sh$/ { block = 1; next }
    /^```$/ { block = 0 }
    block' README.md)
  [ -n "$commands" ] || fail "README.md prints no commands under \`$1\`"
  echo "$commands"
}

# Runs them, as they are printed.
run() {
  local commands
  commands=$(printed "$1")
  echo "--- $1"
  bash -euo pipefail -c "$commands"
}

# Each export with its inode, time and content: two equal answers mean that nothing was touched.
stamp() { (cd "$FUNNEL_EXPORT" && find . -type f -printf '%i %T@ %p ' -exec sha256sum {} \; | sort -k3); }

# Holds what readers see in the exports, and in a report as Parquet, against `funnel sql` over the marts.
compare() { # PYTHON READER…
  local report=(funnel report monitored --account "$ACCOUNT" --from "$DAY_1" --to "$DAY_2") mart
  for mart in offers funnel_daily; do
    funnel sql --table "$mart=$WORK/lake/$mart" --format json -f "$ROOT/tests/batch/$mart.sql" >"$WORK/$mart.json"
  done
  "${report[@]}" --format parquet -o "$WORK/report.parquet"
  "${report[@]}" --format json -o "$WORK/report.json"
  "$1" "$ROOT/tests/batch/read_exports.py" "$FUNNEL_EXPORT" "$WORK/offers.json" "$WORK/funnel_daily.json" \
    "$WORK/report.parquet" "$WORK/report.json" "${@:2}"
}

# Waits until a server that was just started answers.
await() {
  for _ in $(seq 300); do
    ! curl --silent --fail --output /dev/null "$1" || return 0
    kill -0 "$2" 2>/dev/null || fail "the server ended before it answered at $1"
    sleep 0.2
  done
  fail "nothing answers at $1 after a minute"
}

free_port() { "$READERS" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Both flows of a day on a page, in Chromium, beside what `funnel report` says.
see_page() { # URL DAY
  for flow in monitored unmonitored; do
    funnel report "$flow" --account "$ACCOUNT" --from "$2" --to "$2" --format json >"$WORK/$flow.json"
  done
  npm --prefix "$ROOT/web/tests" ci --silent --no-audit --no-fund
  node "$ROOT/web/tests/marts.mjs" "$1" "$WORK/monitored.json" "$WORK/unmonitored.json" "${SHOTS:+$SHOTS/$(basename "$PWD").png}"
}
