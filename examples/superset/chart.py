"""A connection to the lake, two datasets and their funnel charts, made as a person would in Superset's pages, through its API.

    chart.py 2024-03-05 2024-03-06

FUNNEL_URI is the connection, SUPERSET_PORT and SUPERSET_PASSWORD are those of `settings.sh`. Prints the addresses of the charts.
"""

import json
import os
import sys

import requests

# Steps that every unit must take: only these become fewer from one to the next, which is what the chart draws.
OF_DAYS = "SELECT step_index, title, reached FROM funnel('monitored', '{}', '{}') WHERE NOT optional"


class Superset:
    def __init__(self, port, password):
        self.url = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        login = {"username": "admin", "password": password, "provider": "db"}
        self.session.headers["Authorization"] = "Bearer " + self.ask("POST", "security/login", login)["access_token"]
        self.session.headers["X-CSRFToken"] = self.ask("GET", "security/csrf_token/")["result"]

    def ask(self, method, path, body=None):
        answer = self.session.request(method, f"{self.url}/api/v1/{path}", json=body, timeout=120)
        if not answer.ok:
            sys.exit(f"{method} {path}: {answer.status_code} {answer.text.strip()[:1000]}")
        return answer.json()

    def connection(self, name, uri):
        database = {"database_name": name, "sqlalchemy_uri": uri}
        self.ask("POST", "database/test_connection", database)
        return self.ask("POST", "database/", database | {"expose_in_sqllab": True})["id"]

    def dataset(self, database, table, sql=None):
        """A table or view of the lake, or with `sql` what a statement gives."""
        return self.ask("POST", "dataset/", {"database": database, "schema": "public", "table_name": table, "sql": sql})["id"]

    def funnel_chart(self, name, dataset, where=""):
        metric = {"expressionType": "SIMPLE", "aggregate": "SUM", "column": {"column_name": "reached"}, "label": "reached"}
        filters = [{"expressionType": "SQL", "clause": "WHERE", "sqlExpression": where}] if where else []
        form = {"datasource": f"{dataset}__table", "viz_type": "funnel", "groupby": ["title"], "metric": metric, "adhoc_filters": filters,
                "row_limit": 50, "sort_by_metric": True, "percent_calculation_type": "first_step", "label_type": 5, "show_labels": True,
                "number_format": ",d", "show_legend": True, "time_range": "No filter"}
        query = {"columns": ["title"], "metrics": [metric], "orderby": [[metric, False]], "row_limit": 50, "filters": [],
                 "extras": {"where": f"({where})" if where else ""}}
        context = {"datasource": {"id": dataset, "type": "table"}, "force": True, "queries": [query], "form_data": form,
                   "result_format": "json", "result_type": "full"}
        chart = {"slice_name": name, "viz_type": "funnel", "datasource_id": dataset, "datasource_type": "table",
                 "params": json.dumps(form), "query_context": json.dumps(context)}
        return self.ask("POST", "chart/", chart)["id"]


def main(first, last):
    superset = Superset(os.environ["SUPERSET_PORT"], os.environ["SUPERSET_PASSWORD"])
    lake = superset.connection("lake", os.environ["FUNNEL_URI"])
    of_days = superset.dataset(lake, f"monitored {first} {last}", OF_DAYS.format(first, last))
    published = superset.dataset(lake, "funnel_daily")
    monitored = "funnel = 'monitored' AND unit = 'session' AND breakdown = 'all' AND NOT optional"
    days = f"session_start_date BETWEEN DATE '{first}' AND DATE '{last}'"
    for chart in (
        superset.funnel_chart("Monitored, as of now", of_days),
        superset.funnel_chart("Monitored, as it was published", published, f"{monitored} AND {days}"),
    ):
        print(f"{superset.url}/explore/?slice_id={chart}")


if __name__ == "__main__":
    main(*sys.argv[1:])
