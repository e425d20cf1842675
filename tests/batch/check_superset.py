"""Holds what Superset answers against `funnel`: check_superset.py REPORT.json STEPS.json CHART…

The funnel charts must have the steps of the report that every unit must take; these go to STEPS.json. Then what people do beside: a view as
a dataset, by time in every grain, filtered and counted; tables and columns to look at; a statement in SQL Lab.
"""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.getcwd())
from chart import Superset  # noqa: E402  (the example's own)

GRAINS = ["PT1M", "PT15M", "PT1H", "P1D", "P1W", "P1M", "P3M"]


def same(what, found, wanted):
    if found != wanted or not wanted:
        sys.exit(f"FAILED: {what}: Superset has {found}, `funnel` {wanted}")


def lake(sql):
    out = subprocess.run(["funnel", "sql", "--format", "json", "-c", sql], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def funnels(superset, report, steps, charts):
    wanted = [{"title": s["title"], "reached": s["reached"]} for s in report if not s["optional"]]
    with open(steps, "w") as file:
        json.dump(wanted, file)
    order = sorted((-s["reached"], s["title"]) for s in wanted)
    for chart in charts:
        [result] = superset.ask("GET", f"chart/{chart.rsplit('=', 1)[1]}/data/")["result"]
        same(chart, sorted((-row["reached"], row["title"]) for row in result["data"]), order)


def look_around(superset, database):
    known = {}
    for row in lake("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"):
        known.setdefault(row["table_name"], []).append(row["column_name"])
    # The caller is a reader.
    for table in ("ledger", "rejects"):
        del known[table]
    names = {table["value"] for table in superset.ask("GET", f"database/{database}/tables/?q=(schema_name:public)")["result"]}
    same("tables", names, set(known))
    for name in ("funnel_daily", "offers"):
        columns = superset.ask("GET", f"database/{database}/table_metadata/?name={name}&schema=public")["columns"]
        same(f"columns of {name}", [c["name"] for c in columns], known[name])


def by_time(superset, database, account):
    dataset = superset.dataset(database, "offers")
    of_account = f"FROM offers WHERE account_id = '{account}' AND flow = 'monitored' AND session_start_time >= '2024-03-01' AND session_start_time < '2024-04-01'"
    [total] = lake(f"SELECT count(*) AS n, count(DISTINCT session_id) AS sessions {of_account}")
    days = lake(f"SELECT count(DISTINCT date_trunc('day', session_start_time)) AS n {of_account}")[0]["n"]
    for grain in GRAINS:
        axis = {"timeGrain": grain, "columnType": "BASE_AXIS", "sqlExpression": "session_start_time", "label": "session_start_time", "expressionType": "SQL"}
        query = {
            "columns": [axis],
            "metrics": [{"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "n"}],
            "granularity": "session_start_time",
            "time_range": "2024-03-01 : 2024-04-01",
            "filters": [{"col": "flow", "op": "IN", "val": ["monitored"]}],
            "extras": {},
            "row_limit": 50000,
        }
        body = {"datasource": {"id": dataset, "type": "table"}, "force": True, "queries": [query], "result_format": "json", "result_type": "full"}
        rows = superset.ask("POST", "chart/data", body)["result"][0]["data"]
        same(f"offers by {grain}", sum(row["n"] for row in rows), total["n"])
        if grain == "P1D":
            same("days with offers", len(rows), days)


def sql_lab(superset, database, account):
    body = {"database_id": database, "schema": "public", "sql": "SELECT flow, count(*) AS n FROM offers GROUP BY 1 ORDER BY 1", "runAsync": False,
            "client_id": f"c{time.time_ns() % 10**9}", "queryLimit": 100}
    rows = superset.ask("POST", "sqllab/execute/", body)["data"]
    same("SQL Lab", rows, lake(f"SELECT flow, count(*) AS n FROM offers WHERE account_id = '{account}' GROUP BY 1 ORDER BY 1"))


def main():
    report, steps, *charts = sys.argv[1:]
    account = os.environ["ACCOUNT"]
    superset = Superset(os.environ["SUPERSET_PORT"], os.environ["SUPERSET_PASSWORD"])
    with open(report) as file:
        funnels(superset, json.load(file), steps, charts)
    [database] = [row["id"] for row in superset.ask("GET", "database/")["result"]]
    look_around(superset, database)
    by_time(superset, database, account)
    sql_lab(superset, database, account)
    print(f"{len(charts)} charts, {len(GRAINS)} grains, tables, columns and SQL Lab say what `funnel` says")


main()
