"""Reads the exports with libraries that we did not write and holds them against the marts.

    read_exports.py EXPORT OFFERS.json FUNNEL_DAILY.json REPORT.parquet REPORT.json READER…

The JSON files are what `funnel sql` says of the marts (offers.sql, funnel_daily.sql) and what `funnel report` prints; the same
report as Parquet is read too. Prints the counts and the reader's version; ends with 1 at the first difference.
"""

import importlib.metadata
import json
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = {
    "offers": ["session_start_date", "account_id", "flow", "offer_outcome", "views", "click_time", "impression_time"],
    "funnel_daily": ["session_start_date", "account_id", "funnel", "unit", "breakdown", "step_index", "reached"],
    "report": ["step_index", "step", "reached", "dropped", "rate_from_first"],
}


def duckdb(path, columns):
    import duckdb

    # Times as numbers: DuckDB's Python needs one more library to make objects of them.
    parts = [f"epoch_us({column})" if column.endswith("_time") else column for column in columns]
    return duckdb.read_parquet(files(path)).project(", ".join(parts)).fetchall()


def polars(path, columns):
    import polars

    return polars.scan_parquet(files(path)).select(columns).collect().rows()


def pandas(path, columns):
    import pandas

    table = pandas.read_parquet(path, columns=columns)
    return table.astype(object).where(table.notna(), None).itertuples(index=False, name=None)


def pyarrow(path, columns):
    import pyarrow.parquet

    return [tuple(row.values()) for row in pyarrow.parquet.read_table(path, columns=columns).to_pylist()]


def pyspark(path, columns):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    spark = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    # Spark's times have no zone in Python; as numbers they are what is stored.
    rows = spark.read.parquet(path).selectExpr(*[f"unix_micros({c})" if c.endswith("_time") else c for c in columns])
    return [tuple(row) for row in rows.collect()]


def files(path):
    return path if path.endswith(".parquet") else f"{path}/*/part-0.parquet"


def micros(value):
    return (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value


def offers(rows):
    groups = defaultdict(list)
    for day, account, flow, outcome, *measures in rows:
        groups[str(day)[:10], account, flow, outcome].append(measures)
    for key, group in sorted(groups.items()):
        shown = [micros(time) for _, _, time in group if time is not None]
        yield [*key, len(group), sum(v for v, _, _ in group), sum(c is not None for _, c, _ in group), min(shown, default=None)]


def funnel_daily(rows):
    groups = defaultdict(list)
    for day, *key, reached in rows:
        groups[str(day)[:10], *key].append(reached)
    for key, group in sorted(groups.items()):
        yield [*key, len(group), sum(group)]


def report(rows):
    return sorted(list(row) for row in rows)


def main():
    export, said_offers, said_daily, report_file, said_report, *readers = sys.argv[1:]
    said = {"offers": said_offers, "funnel_daily": said_daily, "report": said_report}
    expected = {name: json.load(open(path)) for name, path in said.items()}
    expected["report"] = [{column: row[column] for column in COLUMNS["report"]} for row in expected["report"]]
    for reader in readers:
        for name, columns in COLUMNS.items():
            path = report_file if name == "report" else f"{export}/{name}"
            found = list(globals()[name](globals()[reader](path, columns)))
            wanted = [list(row.values()) for row in expected[name]]
            if found != wanted or not wanted:
                different = [row for row in found if row not in wanted], [row for row in wanted if row not in found]
                sys.exit(f"FAILED: {name} by {reader}: {different[0][:3]}, but `funnel` says {different[1][:3]}")
        groups = len(expected["offers"]) + len(expected["funnel_daily"])
        print(reader, importlib.metadata.version(reader), f"{groups} groups equal", flush=True)


main()
