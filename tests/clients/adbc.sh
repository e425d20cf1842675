#!/usr/bin/env bash
# ADBC over Arrow Flight SQL with a token: a server of its own, over the lake that the others read.
#
#   ./adbc.sh BINARY FOLDER PYTHON      FOLDER has the demo; PYTHON the packages of tests/readers
set -euo pipefail
export funnel=$1 work=$2
readers=$3
"$funnel" serve --new-token adbc >"$work/adbc-tokens.toml" 2>"$work/token.log"
: >"$work/flight.log"
"$funnel" serve --config "$work/demo/funnel.toml" --listen 127.0.0.1:0 --pg-listen off --flight-listen 127.0.0.1:0 \
  --tokens "$work/adbc-tokens.toml" 2>"$work/flight.log" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
  uri=$(grep -oPm1 'grpc://[0-9.:]*' "$work/flight.log") && break
  kill -0 "$server" 2>/dev/null || { cat "$work/flight.log"; exit 1; }
  sleep 0.1
done
export FLIGHT_URI="$uri" FLIGHT_TOKEN
FLIGHT_TOKEN=$(grep -oPm1 'fnl_[0-9a-f]*' "$work/token.log")
"$readers" adbc_client.py
