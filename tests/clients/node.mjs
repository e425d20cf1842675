// node-postgres: parameters, prepared statements, cursors, errors.
import assert from "node:assert/strict";
import pg from "pg";
import Cursor from "pg-cursor";

const pool = new pg.Pool({ max: 3 });
const { rows } = await pool.query("SELECT account_id, count(*) AS n FROM events GROUP BY 1 ORDER BY 1");
assert(Number(rows[0].n) > 0);
const named = { name: "of-account", text: "SELECT count(*) AS n, max(event_time) AS last FROM events WHERE account_id = $1" };
for (let run = 0; run < 2; run++) {
  const found = await pool.query({ ...named, values: [rows[0].account_id] });
  assert.equal(found.rows[0].n, rows[0].n);
  assert(found.rows[0].last instanceof Date && found.rows[0].last.getFullYear() >= 2024);
}
const client = await pool.connect();
const cursor = client.query(new Cursor("SELECT value FROM range(0, 2500)"));
let count = 0;
for (let part = await cursor.read(1000); part.length > 0; part = await cursor.read(1000)) count += part.length;
assert.equal(count, 2500);
await cursor.close();
await client.query("BEGIN");
await assert.rejects(client.query("SELECT nothing FROM events"), (error) => error.code === "42703");
await assert.rejects(client.query("SELECT 1"), (error) => error.code === "25P02");
await client.query("ROLLBACK");
assert.equal((await client.query("SELECT $1::text AS x", ["it's"])).rows[0].x, "it's");
assert.equal((await client.query("SELECT 1 AS a; SELECT 2 AS b")).length, 2);
client.release();
await pool.end();
