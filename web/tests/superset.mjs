// Funnel charts of Superset in a browser: node superset.mjs STEPS.json PASSWORD CHART…
// Each chart must draw the steps of the file with their counts and their share of the first one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [steps, password, ...charts] = process.argv.slice(2);
const counts = JSON.parse(await readFile(steps, "utf8")).map(({ title, reached }) => [title, reached]);
const first = Math.max(...counts.map(([, reached]) => reached));
const wanted = counts.map(([title, reached]) =>
  `${title}: ${reached.toLocaleString("en-US")} (${((100 * reached) / first).toFixed(2)}%)`).sort();
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: flags });
const errors = [];
try {
  const page = await browser.newPage({ viewport: { width: 1360, height: 1000 }, locale: "en-US" });
  page.on("pageerror", (e) => errors.push(String(e)));
  // The chart is a canvas: what stands on it is what was written there.
  await page.addInitScript(() => {
    globalThis.written = new Set();
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
      globalThis.written.add(String(text));
      return fillText.call(this, text, ...where);
    };
  });
  await page.goto(new URL("/login/", charts[0]).href);
  await page.fill("#username", "admin");
  await page.fill("#password", password);
  await page.click('button[type="submit"]');
  await page.waitForURL((url) => !url.pathname.startsWith("/login"), { timeout: 60_000 });
  for (const chart of charts) {
    await page.goto(`${chart}&standalone=1`);
    await page.waitForFunction((labels) => labels.every((label) => globalThis.written.has(label)), wanted, { timeout: 90_000 })
      // What is there instead says more than the time that is over.
      .catch(() => {});
    const labels = await page.evaluate(() => [...globalThis.written].filter((text) => text.includes("%")));
    assert.deepEqual(labels.sort(), wanted, chart);
  }
  assert.deepEqual(errors, [], "errors of the page");
  console.log(`${charts.length} charts with ${wanted.length} steps seen`);
} catch (error) {
  console.error(`FAILED: ${String(error.message).split("\n").slice(0, 30).join(" ")} ${errors.join(" ")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
