"""psycopg2: what most tools of the last decade use."""

import psycopg2
import psycopg2.extras

with psycopg2.connect("") as db:
    with db.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
        cursor.execute("SELECT account_id, count(*) AS n FROM events GROUP BY 1 ORDER BY 1")
        rows = cursor.fetchall()
        assert rows and rows[0]["n"] > 0
        cursor.execute("SELECT count(*) FROM events WHERE account_id = %s", (rows[0]["account_id"],))
        assert cursor.fetchone()[0] == rows[0]["n"]
    with db.cursor("named") as cursor:
        cursor.itersize = 500
        cursor.execute("SELECT value FROM range(0, 2000)")
        assert [value for (value,) in cursor] == list(range(2000))
    with db.cursor() as cursor, open("/dev/null", "w") as nowhere:
        cursor.copy_expert("COPY (SELECT * FROM offers) TO STDOUT WITH CSV HEADER", nowhere)
        assert cursor.rowcount > 0
db.close()
