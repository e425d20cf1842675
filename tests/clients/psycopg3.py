"""psycopg 3: parameters in both forms, cursors of the server, transactions, pipelines, copies."""

import datetime as dt

import psycopg
from psycopg.rows import dict_row

with psycopg.connect(autocommit=True) as db:
    [(count,)] = db.execute("SELECT count(*) FROM events").fetchall()
    assert count > 0
    account = db.execute("SELECT min(account_id) FROM events").fetchone()[0]
    query = "SELECT count(*) FROM events WHERE account_id = %s AND event_time >= %s AND event_date < %s"
    since, until = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.date(2030, 1, 1)
    for binary in (False, True):
        found = db.execute(query, (account, since, until), binary=binary).fetchone()[0]
        assert 0 < found <= count, found
    [(first,)] = db.execute("SELECT min(event_time) FROM events", binary=True).fetchall()
    assert first.tzinfo is not None and first.year >= 2024
    assert db.execute("SELECT %s::bigint + %s", (2**40, 1)).fetchone() == (2**40 + 1,)
    assert db.execute("SELECT %s::text", (None,)).fetchone() == (None,)
    [(texts,)] = db.execute("SELECT count(*) FROM events WHERE account_id = ANY(%s)", ([account],)).fetchall()
    assert texts == db.execute("SELECT count(*) FROM events WHERE account_id = %s", (account,)).fetchone()[0]

    # Often enough to be prepared by itself.
    for number in range(8):
        assert db.execute("SELECT %s + 1 AS n", (number,)).fetchone() == (number + 1,)

    # A named cursor: DECLARE, a question for its columns, FETCH.
    with db.transaction(), db.cursor("rows", row_factory=dict_row) as cursor:
        cursor.execute("SELECT value FROM range(0, 5000)")
        cursor.itersize = 700
        assert [row["value"] for row in cursor] == list(range(5000))
    with db.transaction(), db.cursor("binary") as cursor:
        cursor.execute("SELECT event_time, account_id FROM events WHERE account_id = %s", (account,), binary=True)
        assert len(cursor.fetchmany(3)) == 3
        assert cursor.fetchone()[1] == account
    with db.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchall() == [(1,)]

    # Savepoints.
    with db.transaction():
        try:
            with db.transaction():
                db.execute("SELECT no_such_column FROM events")
        except psycopg.errors.UndefinedColumn as error:
            assert error.sqlstate == "42703"
        assert db.execute("SELECT 1").fetchone() == (1,)

    with db.pipeline():
        one, two = db.execute("SELECT 1"), db.execute("SELECT %s::int", (2,))
        assert (one.fetchone(), two.fetchone()) == ((1,), (2,))

    with db.cursor() as cursor, cursor.copy("COPY (SELECT value FROM range(0, 3)) TO STDOUT") as copy:
        assert list(copy.rows()) == [("0",), ("1",), ("2",)]
    with db.cursor() as cursor, cursor.copy("COPY (SELECT value FROM range(0, 3)) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int8"])
        assert list(copy.rows()) == [(0,), (1,), (2,)]

    for query, state in [
        ("INSERT INTO events SELECT * FROM events", "25006"),
        ("SELECT * FROM no_such_table", "42P01"),
        ("SELECT no_such_function()", "42883"),
    ]:
        try:
            db.execute(query)
        except psycopg.Error as error:
            assert error.sqlstate == state, (query, error.sqlstate)
        else:
            raise AssertionError(query)

    # A client-side cancel.
    db.execute("SET statement_timeout = '500ms'")
    try:
        db.execute("SELECT count(*) FROM events a, events b, events c, events d WHERE a.event_time < d.event_time")
    except psycopg.errors.QueryCanceled:
        pass
    else:
        raise AssertionError("no timeout")
