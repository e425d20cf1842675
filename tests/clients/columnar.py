"""Readers of whole columns, which copy in PostgreSQL's binary form: ADBC, ConnectorX, Polars over both, DuckDB's ATTACH.

Each table and view of the lake arrives with all of its rows and columns, and with the same values by all of them.
"""

import os
from importlib import resources

import adbc_driver_postgresql.dbapi
import connectorx
import duckdb
import polars

URI = "postgresql://{PGUSER}:{PGPASSWORD}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ)
TABLES = ["chats", "conversions", "events", "events_enriched", "ledger", "offers", "rejects", "sessions"]
FUNNEL = "SELECT step, reached, rate_from_first FROM funnel('monitored', '2024-03-01', '2024-04-30') ORDER BY step_index"
DAYS = "SELECT event_date, count(*) AS n, min(event_time) AS first, bool_or(device_family IS NULL) AS odd FROM events_enriched GROUP BY 1 ORDER BY 1"


def adbc(known):
    with adbc_driver_postgresql.dbapi.connect(URI) as db, db.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table}")
            found = cursor.fetch_arrow_table()
            known[table] = (found.num_rows, found.column_names)
            assert db.adbc_get_table_schema(table, db_schema_filter="public").names == found.column_names, table
        cursor.execute("SELECT count(*) FROM events WHERE account_id = $1 AND event_date > $2", ("none", "2024-03-01"))
        assert cursor.fetchall() == [(0,)]
        catalogs = db.adbc_get_objects(depth="all", catalog_filter=os.environ["PGDATABASE"], db_schema_filter="public").read_all().to_pylist()
        tables = {table["table_name"]: table for table in catalogs[0]["catalog_db_schemas"][0]["db_schema_tables"]}
        assert set(TABLES) <= set(tables), tables.keys()
        assert {column["column_name"] for column in tables["offers"]["table_columns"]} == set(known["offers"][1])
        assert tables["offers"]["table_type"] == "view" and tables["events"]["table_type"] == "table"
    assert known["events"][0] > 1000, known


def connector_x(known):
    for protocol in ("binary", "csv", "cursor", "simple"):
        found = connectorx.read_sql(URI, DAYS, protocol=protocol, return_type="arrow")
        assert found.num_rows > 5, protocol
    for table in TABLES:
        found = connectorx.read_sql(URI, f"SELECT * FROM {table}", return_type="arrow")
        assert (found.num_rows, found.column_names) == known[table], table
    numbered = "SELECT row_number() OVER (ORDER BY event_time) AS number, account_id FROM events"
    parts = connectorx.read_sql(URI, numbered, partition_on="number", partition_num=3, return_type="arrow")
    assert parts.num_rows == known["events"][0]


def by_polars():
    both = [polars.read_database_uri(sql, URI, engine=engine) for sql in (FUNNEL, DAYS) for engine in ("adbc", "connectorx")]
    assert both[0].rows() == both[1].rows() and both[0].height > 5, both[:2]
    assert both[2].height == both[3].height > 5
    for name in ("event_date", "n", "odd"):
        assert both[2][name].to_list() == both[3][name].to_list(), name
    assert both[2]["first"].dt.timestamp("us").to_list() == both[3]["first"].dt.timestamp("us").to_list()
    return both[0].rows()


def attached(known, funnel):
    # What `INSTALL postgres` would fetch, out of a package.
    extensions = resources.files("duckdb_extension_postgres_scanner") / "extensions" / f"v{duckdb.__version__}"
    db = duckdb.connect()
    db.execute(f"LOAD '{extensions / 'postgres_scanner.duckdb_extension'}'")
    db.execute("ATTACH '' AS lake (TYPE postgres, READ_ONLY)")
    listed = {name for (name,) in db.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'").fetchall()}
    assert set(TABLES) <= listed, listed
    for table in TABLES:
        found = db.execute(f"SELECT * FROM lake.{table}").to_arrow_table()
        assert (found.num_rows, found.column_names) == known[table], table
    [(one,)] = db.execute("SELECT count(*) FROM lake.events WHERE event_time > '2024-03-05' AND account_id <> 'none'").fetchall()
    assert 0 < one < known["events"][0], one
    [(joined,)] = db.execute("SELECT count(*) FROM lake.sessions JOIN lake.offers USING (account_id, session_id)").fetchall()
    assert joined > 100, joined
    assert db.execute("FROM postgres_query('lake', ?)", [FUNNEL]).fetchall() == funnel


rows = {}
adbc(rows)
connector_x(rows)
steps = by_polars()
attached(rows, steps)
