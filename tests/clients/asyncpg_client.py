"""asyncpg: binary only, everything prepared; it asks the catalog for types that it does not know."""

import asyncio
import datetime as dt
import io

import asyncpg


async def main():
    db = await asyncpg.connect()
    count = await db.fetchval("SELECT count(*) FROM events")
    assert count > 0
    account = await db.fetchval("SELECT min(account_id) FROM events")
    since = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    found = await db.fetchval(
        "SELECT count(*) FROM events WHERE account_id = $1 AND event_time > $2 AND event_date > $3",
        account, since, dt.date(2024, 1, 1))
    assert 0 < found <= count
    row = await db.fetchrow("SELECT 1::int AS four, 0.5::float8 AS part, 'x' AS word, NULL::text AS nothing, true AS yes")
    assert dict(row) == {"four": 1, "part": 0.5, "word": "x", "nothing": None, "yes": True}
    async with db.transaction(readonly=True):
        rows = [row["value"] async for row in db.cursor("SELECT value FROM range(0, 1000)", prefetch=100)]
        assert rows == list(range(1000))
        try:
            async with db.transaction():
                await db.fetch("SELECT no_such_column FROM events")
        except asyncpg.UndefinedColumnError:
            pass
        assert await db.fetchval("SELECT 1") == 1
    steps = await db.fetch(
        "SELECT step, reached FROM funnel($1, $2, $3, named_struct('account', $4)) ORDER BY step_index",
        "impression_to_chat", "2024-01-01", "2030-01-01", account)
    assert steps[0]["reached"] > 0
    copied = io.BytesIO()
    await db.copy_from_query("SELECT value FROM range(0, 3)", output=copied)
    assert copied.getvalue() == b"0\n1\n2\n"
    assert await db.fetchval("SELECT count(*) FROM events WHERE account_id = ANY($1)", [account]) > 0
    try:
        await db.fetchval(
            "SELECT count(*) FROM events a, events b, events c, events d WHERE a.event_time < d.event_time", timeout=1)
    except asyncio.TimeoutError:
        pass
    assert await db.fetchval("SELECT 2") == 2
    await db.close()
    pool = await asyncpg.create_pool(min_size=2, max_size=4)
    assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(8))) == list(range(8))
    await pool.close()


asyncio.run(main())
