"""ADBC over Arrow Flight SQL: token, rows, parameters, what there is, a large answer in pieces; Polars over it."""

import datetime as dt
import os
import subprocess

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from adbc_driver_flightsql import DatabaseOptions

URI, TOKEN = os.environ["FLIGHT_URI"], os.environ["FLIGHT_TOKEN"]
TABLES = {"events", "events_enriched", "sessions", "offers", "chats", "conversions"}


def connect(**options):
    return flight_sql.connect(URI, db_kwargs=options, autocommit=True)


def with_token(token):
    return connect(**{DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"})


def rows(db, sql, parameters=None):
    with db.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


def refused(call, *parts):
    try:
        call()
    except adbc_driver_manager.Error as error:
        assert all(part in str(error) for part in parts), error
        return
    raise AssertionError(f"not refused: {parts}")


def of_command_line(sql):
    """The same question to `funnel sql`."""
    work = os.environ["work"]
    out = f"{work}/rows.parquet"
    config = f"{work}/demo/funnel.toml"
    subprocess.run([os.environ["funnel"], "sql", "--config", config, "-c", sql, "-o", out], check=True)
    return pq.read_table(out)


def who_is_let_in():
    refused(lambda: rows(with_token("fnl_guess"), "SELECT 1"), "UNAUTHENTICATED", "Bearer TOKEN")
    refused(lambda: rows(connect(), "SELECT 1"), "UNAUTHENTICATED")
    with connect(username="adbc", password=TOKEN) as db:
        assert rows(db, "SELECT 1 AS one").to_pylist() == [{"one": 1}]


def answers(db):
    for table in sorted(TABLES):
        [(count,)] = [row.values() for row in rows(db, f"SELECT count(*) FROM {table}").to_pylist()]
        assert count > 0, table
    for sql in (
        "SELECT * FROM events ORDER BY event_id",
        "SELECT * FROM offers ORDER BY offer_key",
        "SELECT * FROM funnel('monitored', '2024-03-04', '2024-03-10', named_struct('breakdown', 'device_family'))",
    ):
        found, wanted = rows(db, sql), of_command_line(sql)
        # Any column of a query may have no value here.
        assert found.num_rows > 0 and found.cast(wanted.schema).equals(wanted), f"{sql}\n{found.schema}\n{wanted.schema}"
    with db.cursor() as cursor:
        cursor.execute("SELECT account_id, event_time FROM events ORDER BY event_id LIMIT 3")
        assert [column[0] for column in cursor.description] == ["account_id", "event_time"]
        account, time = cursor.fetchone()
        assert account and time.tzinfo is not None
        assert len(cursor.fetchmany(5)) == 2


def parameters(db):
    [account] = rows(db, "SELECT min(account_id) AS a FROM events")["a"].to_pylist()
    of = "SELECT count(*) AS n FROM events WHERE account_id = {} AND event_time >= {} AND event_date < {}"
    values = (account, dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.date(2030, 1, 1))
    wanted = rows(db, f"SELECT count(*) AS n FROM events WHERE account_id = '{account}'")
    for marks in (("?", "?", "?"), ("$1", "$2", "$3")):
        found = rows(db, of.format(*marks), values)
        assert found.equals(wanted) and found["n"][0].as_py() > 0, found
    funnel = "SELECT * FROM funnel({}, {}, {})"
    days = ("monitored", "2024-03-04", "2024-03-10")
    assert rows(db, funnel.format("?", "?", "?"), days).equals(rows(db, funnel.format(*map(repr, days))))
    # One statement, prepared once and run with other values.
    with db.cursor() as cursor:
        columns = cursor.adbc_prepare("SELECT value FROM range(0, 10) WHERE value < ?")
        assert columns is None or columns.types == [pa.int64()], columns
        for most in (3, 7):
            cursor.execute("SELECT value FROM range(0, 10) WHERE value < ?", (most,))
            assert cursor.fetch_arrow_table().num_rows == most


def what_there_is(db):
    info = db.adbc_get_info()
    assert info["vendor_name"] == "funnel", info
    assert set(db.adbc_get_table_types()) == {"TABLE", "VIEW"}
    [catalog] = db.adbc_get_objects(depth="all").read_all().to_pylist()
    [schema] = catalog["catalog_db_schemas"]
    assert schema["db_schema_name"] == "public"
    tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
    assert TABLES <= set(tables) and "rejects" not in tables, set(tables)
    for name, table in tables.items():
        columns = [column["column_name"] for column in table["table_columns"]]
        assert columns == db.adbc_get_table_schema(name).names, name
        assert columns == rows(db, f"SELECT * FROM {name} WHERE false").schema.names, name
    [catalog] = db.adbc_get_objects(depth="tables", table_name_filter="event_").read_all().to_pylist()
    [schema] = catalog["catalog_db_schemas"]
    assert [table["table_name"] for table in schema["db_schema_tables"]] == ["events"]


def in_pieces(db):
    sql = "SELECT value, CAST(value AS VARCHAR) || ' of many' AS text FROM range(0, 1000000)"
    with db.cursor() as cursor:
        cursor.execute(sql)
        seen = total = pieces = 0
        for batch in cursor.fetch_record_batch():
            seen += batch.num_rows
            total += pc.sum(batch.column(0)).as_py()
            pieces += 1
    assert (seen, total) == (1_000_000, 999_999 * 500_000) and pieces > 10, (seen, total, pieces)
    # Left in the middle; the connection goes on.
    with db.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetch_record_batch().read_next_batch()
    assert rows(db, "SELECT 1 AS one").num_rows == 1


def mistakes(db):
    refused(lambda: rows(db, "SELECT no_such FROM events"), "INVALID_ARGUMENT", "no_such")
    refused(lambda: rows(db, "SELECT * FROM no_such"), "NOT_FOUND", "no_such")
    refused(lambda: rows(db, "INSERT INTO events SELECT * FROM events"), "only reads")
    with db.cursor() as cursor:
        refused(lambda: cursor.executescript("DROP TABLE events"), "only reads")
        refused(lambda: cursor.adbc_ingest("mine", pa.table({"a": [1]})), "only reads")


def polars(db):
    sql = "SELECT offer_outcome, count(*) AS n FROM offers GROUP BY 1 ORDER BY 1"
    frame = pl.read_database(sql, connection=db)
    assert frame.height > 1 and frame["n"].sum() == rows(db, "SELECT * FROM offers").num_rows
    assert frame.to_dicts() == rows(db, sql).to_pylist()


who_is_let_in()
with with_token(TOKEN) as db:
    for part in (answers, parameters, what_there_is, in_pieces, mistakes, polars):
        part(db)
