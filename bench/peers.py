"""Funnels over the same Parquet files with our binary, ClickHouse (chdb) and DuckDB.

Each query runs in a process of its own. Levels are compared first; then every query is timed,
the engines in turn, and its peak memory is read. Times include the start of the process.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

STEPS = (3, 6, 12)


def arguments():
    parser = argparse.ArgumentParser(prog="funnel-bench peers")
    parser.add_argument("--sorted", required=True)
    parser.add_argument("--shuffled", required=True)
    parser.add_argument("--funnel", required=True, help="our release binary")
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def conditions(steps):
    return ", ".join(f"code = {step}" for step in range(1, steps + 1))


def levels_of(inner):
    return f"SELECT level, count(*) AS visitors FROM ({inner}) AS levels GROUP BY level ORDER BY level"


def ours(mode, steps, window):
    return levels_of(
        f"SELECT visitor, window_funnel({window}, '{mode}', ts, {conditions(steps)}) AS level "
        "FROM t GROUP BY visitor"
    )


# Nullable arguments would cost ClickHouse time, and more than eight of them are refused.
NOT_NULLABLE = " SETTINGS schema_inference_make_columns_nullable = 0"


def clickhouse(file, steps, window):
    return levels_of(
        f"SELECT visitor, windowFunnel({window})(toUInt64(ts), {conditions(steps)}) AS level "
        f"FROM file('{file}', Parquet) GROUP BY visitor"
    ) + NOT_NULLABLE


def clickhouse_in_order(steps, window):
    """Reads a table in the order of its key; made by `prepare` and not timed."""
    return levels_of(
        f"SELECT visitor, windowFunnel({window})(ts, {conditions(steps)}) AS level "
        "FROM events GROUP BY visitor"
    ) + " SETTINGS optimize_aggregation_in_order = 1"


def duckdb(file, steps, window):
    """Running maxima: the latest beginning of a chain of each length at each row."""
    query = f"SELECT visitor, ts, code, NULL::BIGINT AS s0 FROM '{file}'"
    frame = "OVER (PARTITION BY visitor ORDER BY ts RANGE UNBOUNDED PRECEDING)"
    for step in range(1, steps + 1):
        begin = "ts" if step == 1 else f"CASE WHEN ts - s{step - 1} <= {window} THEN s{step - 1} END"
        kept = ", ".join(f"s{before}" for before in range(step))
        query = (
            f"SELECT visitor, ts, code, {kept}, "
            f"max(CASE WHEN code = {step} THEN {begin} END) {frame} AS s{step} FROM ({query})"
        )
    reached = " + ".join(f"(max(s{step}) IS NOT NULL)::INT" for step in range(1, steps + 1))
    return levels_of(f"SELECT visitor, {reached} AS level FROM ({query}) GROUP BY visitor")


CHDB = """
import sys
from chdb import session
database = session.Session(sys.argv[1]) if sys.argv[1] else session.Session()
for line in str(database.query(sys.stdin.read(), "JSONEachRow")).splitlines():
    print(line)
"""

DUCKDB = """
import json, sys, duckdb
for level, visitors in duckdb.connect().execute(sys.stdin.read()).fetchall():
    print(json.dumps({"level": level, "visitors": visitors}))
"""


def run(command, text):
    """Rows, seconds, and peak memory in MiB."""
    begin = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdin.write(text)
        child.stdin.close()
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    if child.returncode != 0:
        sys.exit(f"{command[0]} failed for:\n{text}")
    rows = [json.loads(line) for line in output.splitlines() if line.strip() not in ("", "[", "]")] \
        if not output.lstrip().startswith("[") else json.loads(output)
    return {int(row["level"]): int(row["visitors"]) for row in rows}, seconds, usage.ru_maxrss / 1024


def prepare(file, folder):
    """A table of ClickHouse with the rows of the file, in the order of its key."""
    if os.path.isdir(folder):
        return
    statements = (
        "CREATE DATABASE bench",
        "CREATE TABLE bench.events ENGINE = MergeTree ORDER BY (visitor, ts) AS SELECT "
        f"visitor, toUInt64(ts) AS ts, code FROM file('{file}', Parquet)" + NOT_NULLABLE,
    )
    unfinished = folder + ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    for statement in statements:
        command = [sys.executable, "-c", CHDB, unfinished]
        subprocess.run(command, input=statement, text=True, check=True)
    os.rename(unfinished, folder)


def contestants(options, layout, steps):
    """Name, mode, command and query; the queries of one mode must agree."""
    file = os.path.abspath(getattr(options, layout))
    window = options.window
    binary = [options.funnel, "sql", "--table", f"t={file}", "--format", "json", "-c"]
    chdb = [sys.executable, "-c", CHDB, ""]
    yield "ours, ch:default", "ch", binary + [ours("ch:default", steps, window)], ""
    yield "ours, ordered", "ordered", binary + [ours("ordered", steps, window)], ""
    yield "ClickHouse", "ch", chdb, clickhouse(file, steps, window)
    if layout == "sorted":
        folder = file + ".clickhouse"
        prepare(file, folder)
        query = clickhouse_in_order(steps, window).replace("FROM events", "FROM bench.events")
        yield "ClickHouse, in order", "ch", [sys.executable, "-c", CHDB, folder], query
    yield "DuckDB, nested windows", "ch", [sys.executable, "-c", DUCKDB], duckdb(file, steps, window)


def compare(options, layout, steps):
    entries = list(contestants(options, layout, steps))
    answers = {}
    for name, mode, command, query in entries:
        levels, _, _ = run(command, query)
        expected = answers.setdefault(mode, levels)
        if levels != expected:
            sys.exit(f"{layout}, {steps} steps: {name} says {levels}, not {expected}")
    times = {name: [] for name, *_ in entries}
    memory = {}
    for _ in range(options.repeats):
        for name, _, command, query in entries:
            _, seconds, mebibytes = run(command, query)
            times[name].append(seconds)
            memory[name] = max(memory.get(name, 0), mebibytes)
    own = statistics.median(times["ours, ch:default"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(
            f"| {layout} | {steps} | {name} | {median:.2f} | {min(seconds):.2f}–{max(seconds):.2f} "
            f"| {median / own:.1f} | {memory[name]:.0f} |",
            flush=True,
        )


def main():
    options = arguments()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores\n")
    print("| files | steps | engine | median, s | least–most, s | × ours, ch:default | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for layout in ("sorted", "shuffled"):
        for steps in STEPS:
            compare(options, layout, steps)


if __name__ == "__main__":
    main()
