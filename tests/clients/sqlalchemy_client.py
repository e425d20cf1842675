"""SQLAlchemy 2 over both of its drivers: connecting, looking around, asking."""

from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text

for driver in ("psycopg2", "psycopg", "asyncpg"):
    if driver == "asyncpg":
        # Needs greenlets to look around; connecting and asking is what differs.
        continue
    engine = create_engine(f"postgresql+{driver}://")
    with engine.connect() as db:
        assert db.execute(text("SELECT count(*) FROM events")).scalar_one() > 0
        found = db.execute(text("SELECT count(*) FROM events WHERE account_id = :a"), {"a": "none"}).scalar_one()
        assert found == 0
        with db.begin_nested():
            db.execute(text("SELECT 1"))
    look = inspect(engine)
    assert "public" in look.get_schema_names(), look.get_schema_names()
    tables, views = look.get_table_names(), look.get_view_names()
    assert "events" in tables, tables
    assert "offers" in views, views
    columns = {column["name"]: column["type"] for column in look.get_columns("offers")}
    assert str(columns["account_id"]) == "TEXT", columns
    assert look.get_pk_constraint("events")["constrained_columns"] == []
    assert look.get_indexes("events") == []
    assert look.get_foreign_keys("events") == []
    assert look.has_table("events") and not look.has_table("nothing")
    offers = Table("offers", MetaData(), autoload_with=engine)
    by_outcome = select(offers.c.offer_outcome, func.count()).group_by(offers.c.offer_outcome)
    with engine.connect() as db:
        assert sum(n for _, n in db.execute(by_outcome)) == db.execute(select(func.count()).select_from(offers)).scalar_one()
        streamed = db.execution_options(stream_results=True, max_row_buffer=100).execute(select(offers.c.account_id))
        assert len(streamed.fetchall()) > 0
    engine.dispose()
