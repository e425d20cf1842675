"""A lake through `funnel serve`, beside ClickHouse (chdb) over the same files.

Both are running processes that are asked again and again. Nothing is timed before their levels agree.
Prints Markdown: times in seconds, the median of the repeats with the least and the most.
"""

import argparse
import atexit
import glob
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

STEPS = ["engagement_impression", "engagement_click", "chat_requested"]
WINDOW_SECONDS = 86_400


def arguments():
    parser = argparse.ArgumentParser(prog="funnel-bench serve")
    parser.add_argument("--funnel", required=True, help="our release binary")
    parser.add_argument("--lake", required=True, help="a folder whose days are compacted")
    parser.add_argument("--month", metavar="FROM,TO,FUNNEL", help="days that are published")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    return parser.parse_args()


def levels_of(inner):
    return f"SELECT level, count(*) AS visitors FROM ({inner}) AS levels GROUP BY level ORDER BY level"


def ours():
    conditions = ", ".join(f"event_type = '{step}'" for step in STEPS)
    return levels_of(
        f"SELECT account_id, visitor_id, window_funnel(INTERVAL '{WINDOW_SECONDS} seconds', 'ch:default', "
        f"event_time, {conditions}) AS level FROM events GROUP BY account_id, visitor_id"
    )


def clickhouse(files):
    conditions = ", ".join(f"event_type = '{step}'" for step in STEPS)
    inner = (
        f"SELECT account_id, visitor_id, windowFunnel({WINDOW_SECONDS * 1_000_000})"
        f"(toUInt64(toUnixTimestamp64Micro(event_time)), {conditions}) AS level "
        f"FROM file('{files}', Parquet) GROUP BY account_id, visitor_id"
    )
    return levels_of(inner) + " SETTINGS optimize_aggregation_in_order = 1"


def live_files(lake):
    """The files of `events` that its log names now."""
    folder = os.path.join(lake, "events")
    live = {}
    for entry in sorted(glob.glob(os.path.join(folder, "_delta_log", "*.json"))):
        if not re.fullmatch(r"\d{20}\.json", os.path.basename(entry)):
            continue
        with open(entry) as lines:
            for action in map(json.loads, lines):
                if "add" in action:
                    live[action["add"]["path"]] = action["add"]
                elif "remove" in action:
                    live.pop(action["remove"]["path"], None)
    if not live:
        sys.exit(f"{folder} has no log that begins with its first entry")
    return [os.path.join(folder, path.replace("%3D", "=")) for path in live]


class Server:
    """`funnel serve`, and how long it took to answer."""

    def __init__(self, funnel, lake):
        begin = time.monotonic()
        words = [funnel, "serve", "--lake", lake, "--listen", "127.0.0.1:0"]
        self.log = tempfile.NamedTemporaryFile()
        with open(self.log.name, "w") as log:
            self.process = subprocess.Popen(words, stderr=log)
        atexit.register(self.end)
        self.port = self.port_told()
        self.get("/readyz")
        self.ready = time.monotonic() - begin

    def port_told(self):
        while self.process.poll() is None:
            told = re.search(r"http://127\.0\.0\.1:(\d+)", self.said())
            if told:
                return int(told[1])
            time.sleep(0.002)
        sys.exit(f"the server ended: {self.said()}")

    def said(self):
        with open(self.log.name) as log:
            return log.read()

    def get(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        method, head = ("POST", {"content-type": "application/json"}) if body else ("GET", {})
        connection.request(method, path, body, head)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status}\n{text.decode()}")
        return text

    def sql(self, query):
        """Rows and seconds."""
        begin = time.monotonic()
        text = self.get("/api/v1/sql", json.dumps({"sql": query}))
        seconds = time.monotonic() - begin
        return json.loads(text)["rows"], seconds

    def end(self):
        self.process.terminate()
        self.process.wait()


def linked(files):
    """A folder that has these files and no others, beside them: the log says which files count."""
    folder = tempfile.mkdtemp(prefix="bench-", dir=os.path.commonpath([os.path.dirname(file) for file in files]))
    atexit.register(shutil.rmtree, folder)
    for index, file in enumerate(files):
        os.link(file, os.path.join(folder, f"{index}.parquet"))
    return folder


def levels(rows):
    return {int(row["level"]): int(row["visitors"]) for row in rows}


def spread(seconds):
    return f"{statistics.median(seconds):.3f} | {min(seconds):.3f}–{max(seconds):.3f}"


def alone(server, files, repeats):
    """Both asked in turn by one client."""
    from chdb import session

    database = session.Session()
    query = clickhouse(f"{linked(files)}/*.parquet")

    def theirs():
        begin = time.monotonic()
        text = str(database.query(query, "JSONEachRow"))
        return [json.loads(line) for line in text.splitlines()], time.monotonic() - begin

    expected, found = levels(theirs()[0]), levels(server.sql(ours())[0])
    if expected != found:
        sys.exit(f"levels differ: ClickHouse {expected}, ours {found}")
    times = {"ours": [], "ClickHouse": []}
    for _ in range(repeats):
        times["ours"].append(server.sql(ours())[1])
        times["ClickHouse"].append(theirs()[1])
    database.close()
    return times, found


def together(server, clients, repeats):
    """Seconds of each question, and of all; every client asks the next as soon as it is answered."""
    times, wrong = [], []
    expected = levels(server.sql(ours())[0])

    def client():
        for _ in range(repeats):
            rows, seconds = server.sql(ours())
            times.append(seconds)
            if levels(rows) != expected:
                wrong.append(rows)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong or len(times) != clients * repeats:
        sys.exit(f"clients were answered differently: {wrong[:1]}")
    return times, time.monotonic() - begin


def published(server, month, repeats):
    """A published month, and the same counts from the raw events."""
    first, last, funnel = month.split(",")
    daily = (
        "SELECT account_id, step_index, sum(reached) AS reached FROM funnel_daily "
        f"WHERE funnel = '{funnel}' AND breakdown = 'all' "
        f"AND session_start_date BETWEEN '{first}' AND '{last}' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    seconds = [server.sql(daily)[1] for _ in range(repeats)]
    rows = server.sql(daily)[0]
    return seconds, rows


def main():
    options = arguments()
    files = live_files(options.lake)
    server = Server(options.funnel, options.lake)
    begin = time.monotonic()
    server.get("/")
    page = time.monotonic() - begin
    events = int(server.sql("SELECT count(*) AS n FROM events")[0][0]["n"])
    times, found = alone(server, files, options.repeats)
    single = statistics.median(times["ours"])
    print(f"{events:,} events in {len(files)} files; visitors by level: {found}\n")
    print("| question | engine | median, s | least–most, s | ratio |\n| --- | --- | --- | --- | --- |")
    print(f"| funnel, one client | ours, over HTTP | {spread(times['ours'])} | 1.0 |")
    ratio = statistics.median(times["ClickHouse"]) / single
    print(f"| funnel, one client | ClickHouse, in order | {spread(times['ClickHouse'])} | {ratio:.1f} |")
    many, whole = together(server, options.clients, max(2, options.repeats // 2))
    share = len(many) * single / whole
    p95 = statistics.quantiles(many, n=20)[-1]
    print(f"| funnel, {options.clients} clients | ours | {spread(many)} | {share:.2f} × the events/s of one; p95 {p95 / single:.1f} × its time |")
    if options.month:
        seconds, rows = published(server, options.month, options.repeats)
        ratio = statistics.median(seconds) / single
        print(f"| published month, {len(rows)} rows | ours | {spread(seconds)} | 1/{1 / ratio:.0f} of the funnel over the events |")
    print(f"\nStart until the lake is ready: {server.ready:.3f} s; the page: {page * 1000:.1f} ms.")
    server.end()


if __name__ == "__main__":
    main()
