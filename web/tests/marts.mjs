// The pages of examples/ in a browser: node marts.mjs URL MONITORED.json UNMONITORED.json [SCREENSHOT]
// A table per flow (step, sessions, …) must show what `funnel report` says; nothing may be asked for beyond URL's server.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [url, ...reports] = process.argv.slice(2);
const shot = reports.splice(2)[0];
const wanted = (await Promise.all(reports.map(async (path) => JSON.parse(await readFile(path, "utf8")))))
  .map((steps) => steps.map((step) => [step.title, step.reached]));
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: flags });
const outside = [], errors = [];
try {
  const page = await browser.newPage({ viewport: { width: 1360, height: 1000 }, locale: "en-US" });
  const { host } = new URL(url);
  page.on("request", (r) => /^(data|blob):/.test(r.url()) || new URL(r.url()).host === host || outside.push(r.url()));
  page.on("websocket", (w) => new URL(w.url()).host === host || outside.push(w.url()));
  page.on("pageerror", (e) => errors.push(String(e)));
  await page.goto(url);
  await page.waitForFunction(() => document.querySelectorAll("table tbody tr").length > 20 && document.querySelectorAll("canvas, svg[viewBox]").length >= 2,
    null, { timeout: 60_000 });
  // What is still on its way would be seen as a request.
  await page.waitForTimeout(1_500);
  const shown = await page.locator("table").evaluateAll((tables) => tables.map((table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map((c) => c.textContent.trim()))));
  if (shot) await page.screenshot({ path: shot, fullPage: true });
  assert.equal(shown.length, 2, "a table for each flow");
  shown.forEach((rows, i) => assert.deepEqual(rows.map(([title, count]) => [title, Number(count.replace(/\D/g, ""))]), wanted[i]));
  assert.deepEqual(outside, [], "requests beyond the machine");
  assert.deepEqual(errors, [], "errors of the page");
  console.log(`${shown.flat().length} steps seen`);
} catch (error) {
  console.error(`FAILED: ${String(error.message).split("\n").slice(0, 12).join(" ")} ${outside.concat(errors).join(" ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
