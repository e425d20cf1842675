"""Funnels over the same Parquet files with our binary, ClickHouse (chdb) and DuckDB.

Each query runs in a process of its own, the engines in turn. Nothing is printed before the levels
of all agree. Times include the start of the process.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(prog="funnel-bench")
    parser.add_argument("command", choices=("peers", "once", "flat"))
    parser.add_argument("--funnel", required=True, help="our release binary")
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--layout", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--steps", default="3,6,12")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without", default="", help="engines that are left out")
    options = parser.parse_args()
    options.layout = [layout.split("=", 1) for layout in options.layout]
    options.steps = [int(steps) for steps in options.steps.split(",")]
    return options


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
database = duckdb.connect()
database.execute("SET enable_progress_bar = false")
for level, visitors in database.execute(sys.stdin.read()).fetchall():
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


def files_of(path):
    """The path as DuckDB and ClickHouse want it."""
    path = os.path.abspath(path)
    return os.path.join(path, "*.parquet") if os.path.isdir(path) else path


def ours_over(options, path, query):
    table = f"t={os.path.abspath(path)}"
    return [options.funnel, "sql", "--table", table, "--format", "json", "-c", query]


def contestants(options, layout, path, steps):
    """Name, mode, command and query; the queries of one mode must agree."""
    window, file = options.window, files_of(path)
    chdb = [sys.executable, "-c", CHDB, ""]
    yield "ours, ch:default", "ch", ours_over(options, path, ours("ch:default", steps, window)), ""
    yield "ours, ordered", "ordered", ours_over(options, path, ours("ordered", steps, window)), ""
    yield "ClickHouse", "ch", chdb, clickhouse(file, steps, window)
    if layout.startswith("sorted"):
        folder = os.path.abspath(path) + ".clickhouse"
        if "in order" not in options.without:
            prepare(file, folder)
        query = clickhouse_in_order(steps, window).replace("FROM events", "FROM bench.events")
        yield "ClickHouse, in order", "ch", [sys.executable, "-c", CHDB, folder], query
    yield "DuckDB, nested windows", "ch", [sys.executable, "-c", DUCKDB], duckdb(file, steps, window)


def left_out(options, name):
    return any(word and word in name for word in options.without.split(","))


def compare(options, layout, path, steps):
    entries = [entry for entry in contestants(options, layout, path, steps)
               if not left_out(options, entry[0])]
    answers, times, memory = {}, {name: [] for name, *_ in entries}, {}
    for _ in range(options.repeats):
        for name, mode, command, query in entries:
            levels, seconds, mebibytes = run(command, query)
            expected = answers.setdefault(mode, levels)
            if levels != expected:
                sys.exit(f"{layout}, {steps} steps: {name} says {levels}, not {expected}")
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


def peers(options):
    print("| files | steps | engine | median, s | least–most, s | × ours, ch:default | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for layout, path in options.layout:
        for steps in options.steps:
            compare(options, layout, path, steps)


# Every row satisfies one of the first five steps, so each is a candidate of a chain that never ends.
ONE_VISITOR = """
import sys, duckdb
duckdb.connect().execute(
    "COPY (SELECT 'v' AS visitor, i AS ts, (i * 7919 % 5 + 1)::UTINYINT AS code "
    f"FROM range({int(sys.argv[1])}) AS t(i)) TO '{sys.argv[2]}' (FORMAT parquet)")
"""


def once(options):
    """One visitor, six steps, a window as long as the history; ClickHouse up to 300 rows."""
    print("| rows | ours, ms over an empty query | ClickHouse, ms over an empty query | × |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for rows in (100, 300, 1_000, 10_000, 100_000):
            file = os.path.join(folder, f"{rows}.parquet")
            subprocess.run([sys.executable, "-c", ONE_VISITOR, str(rows), file], check=True)
            query = clickhouse(file, 6, rows).replace(f"windowFunnel({rows})", f"windowFunnel({rows}, 'strict_once')")
            pairs = [(ours_over(options, file, ours("ch:strict_once", 6, rows)), "")]
            if rows <= 300:
                pairs.append(([sys.executable, "-c", CHDB, ""], query))
            empty = [(ours_over(options, file, levels_of("SELECT visitor, 1 AS level FROM t WHERE ts < 0")), ""),
                     ([sys.executable, "-c", CHDB, ""], levels_of(f"SELECT visitor, 1 AS level FROM file('{file}', Parquet) WHERE ts < 0"))]
            found = [run(*pair)[0] for pair in pairs]
            if any(levels != found[0] for levels in found):
                sys.exit(f"{rows} rows: {found}")
            costs = []
            for pair, nothing in zip(pairs, empty):
                timed = statistics.median(run(*pair)[1] for _ in range(5))
                costs.append(max(timed - statistics.median(run(*nothing)[1] for _ in range(5)), 1e-4) * 1000)
            ratio = f"{costs[1] / costs[0]:.0f}" if len(costs) > 1 else "–"
            other = f"{costs[1]:.0f}" if len(costs) > 1 else "not run"
            print(f"| {rows} | {costs[0]:.1f} | {other} | {ratio} |", flush=True)


def flat(options):
    """The layouts are named by their number of events; the start of the process is taken off."""
    print("| events | median, s | least–most, s | ns per event, less the start | peak MiB |")
    print("| --- | --- | --- | --- | --- |")
    for events, path in options.layout:
        empty = levels_of("SELECT visitor, 1 AS level FROM t WHERE ts < 0")
        start = statistics.median(run(ours_over(options, path, empty), "")[1] for _ in range(options.repeats))
        runs = [run(ours_over(options, path, ours("ch:default", 3, options.window)), "")
                for _ in range(options.repeats)]
        seconds = [seconds for _, seconds, _ in runs]
        median = statistics.median(seconds)
        cost = (median - start) / int(events.replace("_", "")) * 1e9
        peak = max(mebibytes for *_, mebibytes in runs)
        print(f"| {events} | {median:.2f} | {min(seconds):.2f}–{max(seconds):.2f} | {cost:.1f} | {peak:.0f} |", flush=True)


def main():
    options = arguments()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores\n")
    {"peers": peers, "once": once, "flat": flat}[options.command](options)


if __name__ == "__main__":
    main()
