"""Counts rows of a lake with readers that we did not write; prints one JSON object.

usage: count_rows.py LAKE

{"events": {"deltalake": n, "duckdb": n, "polars": n, "pyarrow": n},
 "events_by_type": {"duckdb": {type: n}, "polars": {type: n}}, "rejects": {"deltalake": n}, "types": {column: type}}
Timestamps are read as `timestamp[us, UTC]`; no column is unsigned.
"""

import json
import os
import pathlib
import sys

import duckdb
import polars
import pyarrow.parquet
from deltalake import DeltaTable


def live_files(table: DeltaTable) -> list[str]:
    """Paths of the data files of the newest snapshot."""
    return [path.removeprefix("file://") for path in table.file_uris()]


def main() -> None:
    lake = pathlib.Path(sys.argv[1])
    events = DeltaTable(str(lake / "events"))
    files = live_files(events)
    by_duckdb = duckdb.sql(
        "SELECT event_type, count(*) FROM read_parquet($files) GROUP BY 1", params={"files": files}
    ).fetchall()
    by_polars = polars.scan_parquet(files).group_by("event_type").len().collect().rows()
    result = {
        "events": {
            "deltalake": events.to_pyarrow_table(columns=["event_id"]).num_rows,
            "duckdb": sum(n for _, n in by_duckdb),
            "polars": sum(n for _, n in by_polars),
            "pyarrow": sum(pyarrow.parquet.read_metadata(path).num_rows for path in files),
        },
        "events_by_type": {"duckdb": dict(by_duckdb), "polars": dict(by_polars)},
        "types": {f.name: str(f.type) for f in pyarrow.parquet.read_schema(files[0])},
        "rejects": {
            "deltalake": DeltaTable(str(lake / "rejects")).to_pyarrow_table(columns=["reject_id"]).num_rows
        },
    }
    exports = sorted(str(path) for path in (lake / "export").rglob("*.parquet"))
    if exports:
        result["exports"] = {
            name: {
                "duckdb": duckdb.read_parquet([p for p in exports if f"/{name}/" in p]).count("*").fetchone()[0],
                "polars": polars.scan_parquet([p for p in exports if f"/{name}/" in p])
                .select(polars.len())
                .collect()
                .item(),
                "pyarrow": sum(pyarrow.parquet.read_metadata(p).num_rows for p in exports if f"/{name}/" in p),
            }
            for name in ("offers", "funnel_daily")
        }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # Four native libraries end their threads in whatever order; one of them sometimes aborts there, which says nothing
    # about the rows that were counted.
    os._exit(0)
