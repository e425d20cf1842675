"""Asks ClickHouse (chdb) and `funnel sql` the same questions of the same Parquet files.

    clickhouse_diff.py FUNNEL_BINARY FOLDER GROUPS SEED

Every legal combination of windowFunnel's modes, sequenceMatch, sequenceCount and retention, over random groups in a
shuffled file and in one that declares its order. Prints {"compared": N, "different": [first examples]}.
"""

import itertools
import json
import subprocess
import sys

import chdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BINARY, FOLDER, GROUPS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
FLAGS = ["strict_deduplication", "strict_order", "strict_increase", "strict_once", "allow_reentry"]
STEPS, WINDOW = 3, 6
CONDITIONS = ", ".join(f"c{step}" for step in range(1, STEPS + 1))
PATTERNS = ["(?1)(?2)", "(?1).*(?2)(?3)", "(?1)(?t<=2)(?2)", "(?1)(?t>1)(?2).*(?3)", "(?1)..*(?3)"]


def modes():
    for size in range(len(FLAGS) + 1):
        for chosen in itertools.combinations(FLAGS, size):
            if "allow_reentry" not in chosen or "strict_order" in chosen:
                yield chosen


def questions():
    """Name, ours, ClickHouse's."""
    for number, chosen in enumerate(modes()):
        ours = "ch:" + (",".join(chosen) or "default")
        theirs = "".join(f", '{flag}'" for flag in chosen)
        yield (
            f"m{number}",
            f"window_funnel({WINDOW}, '{ours}', ts, {CONDITIONS})",
            f"windowFunnel({WINDOW}{theirs})(ts, {CONDITIONS})",
        )
    for number, pattern in enumerate(PATTERNS):
        for name in ["match", "count"]:
            yield (
                f"{name}{number}",
                f"CAST(sequence_{name}('{pattern}', ts, {CONDITIONS}) AS BIGINT)",
                f"toInt64(sequence{name.title()}('{pattern}')(ts, {CONDITIONS}))",
            )
    for step in range(1, STEPS + 1):
        yield (
            f"r{step}",
            f"CAST(retention({CONDITIONS})[{step}] AS BIGINT)",
            f"toInt64(retention({CONDITIONS})[{step}])",
        )


def table():
    rng = np.random.default_rng(SEED)
    rows = GROUPS * 5
    columns = {
        "user": pa.array([f"visitor-{key:012}" for key in rng.integers(0, GROUPS, rows)]),
        "ts": pa.array(rng.integers(0, 14, rows), pa.uint32()),
    }
    step = rng.integers(0, STEPS + 2, rows)
    for number in range(1, STEPS + 1):
        columns[f"c{number}"] = pa.array((step == number) | (rng.random(rows) < 0.12))
    return pa.table(columns)


def ask(path):
    """Answers by user. The modes are asked for alone, so that the sorted file is streamed."""
    found = {}
    is_mode = lambda name: name[0] == "m" and name[1:].isdigit()
    for modes_only in [True, False]:
        asked = [(name, ours) for name, ours, _ in questions() if is_mode(name) == modes_only]
        columns = ", ".join(f"{ours} AS {name}" for name, ours in asked)
        sql = f'SELECT "user", {columns} FROM t GROUP BY "user"'
        plan = funnel(path, f"EXPLAIN {sql}")
        streamed = path.endswith("sorted.parquet") and modes_only
        assert ("SortedFunnelExec" in plan) == streamed, plan
        for row in json.loads(funnel(path, sql)):
            found.setdefault(row.pop("user"), {}).update(row)
    return found


def funnel(path, sql):
    command = [BINARY, "sql", "--table", f"t={path}", "--format", "json", "-c", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    names = [name for name, _, _ in questions()]
    rows = table()
    # ClickHouse's answers in modes that go by the order of rows are those of one thread.
    rows = rows.append_column("n", pa.array(np.arange(rows.num_rows)))
    ordered = rows.sort_by([("user", "ascending"), ("ts", "ascending"), ("n", "ascending")])
    order = [pq.SortingColumn(0), pq.SortingColumn(1)]
    compared, different = 0, []
    for name, content, options in [
        ("shuffled", rows, {}),
        ("sorted", ordered, {"sorting_columns": order, "row_group_size": 20_000}),
    ]:
        path = f"{FOLDER}/{name}.parquet"
        pq.write_table(content, path, **options)
        columns = ", ".join(f"{theirs} AS {name}" for name, _, theirs in questions())
        expected = chdb.query(
            f'SELECT "user", {columns} FROM file(\'{path}\') GROUP BY "user" SETTINGS max_threads = 1',
            "JSONCompactEachRow",
        )
        found = ask(path)
        for line in str(expected).splitlines():
            user, *answers = json.loads(line)
            answers = [int(answer) for answer in answers]
            ours = found.pop(user, {})
            compared += len(answers)
            for question, their in zip(names, answers):
                our = ours.get(question)
                if their != our and len(different) < 10:
                    different.append({"file": name, "user": user, "question": question, "clickhouse": their, "ours": our})
        if found:
            different.append({"file": name, "users that ClickHouse does not have": len(found)})
    print(json.dumps({"compared": compared, "different": different}))


main()
