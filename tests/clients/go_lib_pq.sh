#!/usr/bin/env bash
# Go's lib/pq, as it is built into Debian's prometheus-sql-exporter.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "$exporter" 2>/dev/null || true; rm -rf "$work"' EXIT
exporter=""
cat >"$work/config.yml" <<END
jobs:
  - name: funnel
    interval: 1s
    connections:
      - 'postgres://$PGUSER@$PGHOST:$PGPORT/$PGDATABASE?sslmode=disable'
    queries:
      - name: events
        help: events of each account
        labels: [account_id]
        values: [n]
        query: SELECT account_id, CAST(count(*) AS DOUBLE) AS n FROM events GROUP BY 1
END
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus-sql-exporter -config.file "$work/config.yml" -web.listen-address "127.0.0.1:$port" >"$work/log" 2>&1 &
exporter=$!
for _ in $(seq 100); do
  kill -0 "$exporter" || { cat "$work/log"; exit 1; }
  if page=$(curl -sf "http://127.0.0.1:$port/metrics") && grep -q '^sql_events{' <<<"$page"; then exit 0; fi
  sleep 0.2
done
cat "$work/log"
echo "no metrics"
exit 1
