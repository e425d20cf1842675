// Compares the page with what the API of the server at FUNNEL_PAGE_URL answers.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const AXE = require.resolve("axe-core/axe.min.js");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const SHOTS = process.env.SHOTS;
const HEADERS = process.env.FUNNEL_TOKEN ? { authorization: `Bearer ${process.env.FUNNEL_TOKEN}` } : {};
let base, browser, status, range;

const digits = (text) => (/[0-9]/.test(text) ? Number(text.replace(/[^0-9.]/g, "")) : null);
const address = (path, params) => `${base}${path}?${new URLSearchParams(params)}`;
const api = async (path, params = {}) => (await fetch(address(`api/v1/${path}`, params), { headers: HEADERS })).json();
const address_of = (patch) => address("", { account: range.account, from: range.from, to: range.to, ...patch });

async function open(patch = {}, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, locale: "en-US", acceptDownloads: true, ...options });
  if (process.env.FUNNEL_TOKEN) await context.addInitScript((t) => sessionStorage.setItem("funnel-token", t), process.env.FUNNEL_TOKEN);
  const page = await context.newPage();
  page.seen = { errors: [], outside: [] };
  page.on("console", (m) => m.type() === "error" && page.seen.errors.push(m.text()));
  page.on("pageerror", (e) => page.seen.errors.push(String(e)));
  page.on("request", (r) => { if (!r.url().startsWith(base) && !r.url().startsWith("blob:")) page.seen.outside.push(r.url()); });
  if (patch) {
    await page.goto(address_of(patch));
    await ready(page);
  }
  return page;
}

async function ready(page) {
  await page.waitForSelector('#board[aria-busy="false"]', { timeout: 25_000 });
  await page.waitForFunction(() => !document.querySelector(".skeleton, .waiting"), null, { timeout: 25_000 });
}

async function clean(page) {
  assert.deepEqual(page.seen.errors, []);
  assert.deepEqual(page.seen.outside, []);
  await page.context().close();
}

async function violations(page) {
  // The content policy refuses injected tags, not the debugger.
  await page.evaluate(await readFile(AXE, "utf8"));
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`);
}

// Twice: what was folded has folded parts.
async function unfold(page) {
  for (let round = 0; round < 2; round += 1) {
    await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
    await page.waitForFunction(() => !document.querySelector("details.lazy[open] > div:empty") && !document.body.textContent.includes("Loading…"));
  }
}

async function shoot(page, name, full = true) {
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: full });
}

// The page's own policy refuses the picture as an image, so it is decoded on a blank page.
async function colors(page, png) {
  const blank = await page.context().newPage();
  const count = await blank.evaluate(async (bytes) => {
    const image = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
    const pen = new OffscreenCanvas(image.width, image.height).getContext("2d");
    pen.drawImage(image, 0, 0);
    const { data } = pen.getImageData(0, 0, image.width, image.height);
    return new Set(new Uint32Array(data.buffer)).size;
  }, [...png]);
  await blank.close();
  return count;
}

const bodyCells = (page, scope) => page.locator(`${scope} tbody tr`).evaluateAll((rows) => rows.map((row) => [...row.children].map((c) => c.textContent)));

before(async () => {
  assert.ok(process.env.FUNNEL_PAGE_URL, "FUNNEL_PAGE_URL names a running server; scripts/test-page starts one");
  if (SHOTS) mkdirSync(SHOTS, { recursive: true });
  base = process.env.FUNNEL_PAGE_URL.replace(/\/?$/, "/");
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
  status = await api("status");
  const account = status.accounts[0];
  range = { account: account.account, from: account.first_day, to: account.last_day };
});

after(async () => {
  await browser?.close();
});

for (const funnel of ["monitored", "unmonitored", "impression_to_chat", "chat_lifecycle"]) {
  test(`the numbers of ${funnel} are the API's`, async () => {
    const page = await open({ funnel });
    const { rows } = await api(`funnels/${funnel}/report`, range);
    const { losses } = await api(`funnels/${funnel}/losses`, range);
    const cells = await bodyCells(page, ".numbers");
    assert.equal(cells.length, rows.length);
    rows.forEach((row, i) => {
      assert.equal(cells[i][0].replace(" optional", ""), row.title);
      for (const [at, name] of [[1, "reached"], [2, "previous"], [5, "dropped"], [6, "open"], [7, "skipped"], [8, "required"]]) {
        assert.equal(digits(cells[i][at]), row[name], `${row.step} ${name}`);
      }
      for (const [at, name] of [[3, "rate_from_previous"], [4, "rate_from_first"]]) {
        if (row[name] !== null && row[name] >= 0.001 && (row[name] < 0.9995 || row[name] === 1)) assert.ok(Math.abs(digits(cells[i][at]) - row[name] * 100) <= 0.0501, `${row.step} ${name}`);
      }
    });
    const cards = await page.locator(".step").evaluateAll((steps) => steps.map((x) => [x.dataset.step, x.querySelector(".count").textContent]));
    assert.deepEqual(cards.map(([step, count]) => [step, digits(count)]), rows.map((row) => [row.step, row.reached]));
    const chips = await page.locator(".chip.dropped b, .chip.open b").allTextContents();
    const wanted = losses.filter((l) => l.state !== "converted").map((l) => l.keys);
    assert.deepEqual(chips.map(digits).sort(), wanted.sort());
    await clean(page);
  });
}

test("the trend is the API's, and its unfinished days are marked", async () => {
  const page = await open({ funnel: "unmonitored" });
  const { rows } = await api("funnels/unmonitored/trend", range);
  const cells = await bodyCells(page, ".trend");
  assert.deepEqual(cells.map((c) => [c[0], digits(c[1]), digits(c[2]), c[5]]), rows.map((r) => [r.day, r.entered, r.converted, r.incomplete ? "incomplete" : ""]));
  if (rows.some((r) => r.incomplete)) assert.ok(await page.locator(".trend .incomplete").count() > 0);
  const slider = page.getByRole("slider");
  await slider.focus();
  await page.keyboard.press("Home");
  assert.match(await slider.getAttribute("aria-valuetext"), new RegExp(`${rows[0].converted} of ${rows[0].entered}`));
  await clean(page);
});

test("the trend can be read by week, and the address says so", async () => {
  const page = await open({ funnel: "unmonitored" });
  await page.getByRole("group", { name: "Periods" }).getByRole("button", { name: "Week" }).click();
  await page.waitForURL(/every=week/);
  await ready(page);
  const { rows } = await api("funnels/unmonitored/trend", { ...range, every: "week" });
  const cells = await bodyCells(page, ".trend");
  assert.deepEqual(cells.map((c) => [c[0], digits(c[1]), digits(c[2])]), rows.map((r) => [r.day, r.entered, r.converted]));
  assert.ok(rows.length > 1 && rows.every((r) => new Date(r.day).getUTCDay() === 1));
  await clean(page);
});

test("both flows stand side by side with the API's numbers", async () => {
  for (const steps of ["", "all"]) {
    const page = await open({ funnel: "both", ...(steps && { steps }) });
    for (const flow of ["monitored", "unmonitored"]) {
      const rows = steps ? (await api(`funnels/${flow}/report`, range)).rows
        : (await api("funnels/impression_to_chat/report", { ...range, by: "flow" })).rows.filter((r) => r.flow === flow);
      const counts = await page.locator(`[data-flow="${flow}"] .step .count`).allTextContents();
      assert.deepEqual(counts.map(digits), rows.map((r) => r.reached));
    }
    const [left, right] = await page.locator(".side-by-side > .card").evaluateAll((cards) => cards.map((c) => c.getBoundingClientRect().top));
    assert.equal(left, right);
    await shoot(page, steps ? "both-all-light" : "both-light");
    await clean(page);
  }
});

test("a breakdown has the API's numbers", async () => {
  const page = await open({ funnel: "impression_to_chat", by: "device_family" });
  const { rows } = await api("funnels/impression_to_chat/report", { ...range, by: "device_family" });
  const first = rows.filter((r) => r.step_index === 1).sort((a, b) => b.reached - a.reached);
  const cells = await bodyCells(page, ":nth-match(table.wide, 1)");
  assert.deepEqual(cells.map((c) => digits(c[1])), first.slice(0, 20).map((r) => r.reached));
  const faint = [];
  for (const basis of ["first", "previous"]) {
    await page.getByRole("button", { name: `% of ${basis}` }).click();
    await page.getByRole("button", { name: `% of ${basis}`, pressed: true }).waitFor();
    const shown = await page.locator("table.wide").first().locator("tbody tr, tfoot tr").evaluateAll((trs) => trs.map((tr) =>
      [...tr.querySelectorAll(".pair")].map((pair) => [pair.querySelector(".bounds").textContent, pair.classList.contains("few")])));
    const all = await api("funnels/impression_to_chat/report", range);
    const segments = [...first.map((r) => rows.filter((row) => row.device_family === r.device_family)), all.rows];
    shown.forEach((cells_of, at) => cells_of.forEach(([bounds, few], i) => {
      const row = segments[at][i + 1];
      const whole = basis === "first" ? segments[at][0].reached : row.previous;
      const wanted = [row[`rate_from_${basis}_low`], row[`rate_from_${basis}_high`]];
      if (wanted[0] === null) assert.equal(bounds, "");
      else bounds.split("–").forEach((text, side) => assert.ok(Math.abs(digits(text) - wanted[side] * 100) <= 0.0501, `${bounds} is not ${wanted}`));
      assert.equal(few, whole < 30, `${row.step} of ${whole}`);
      faint.push(few);
    }));
  }
  assert.ok(faint.includes(true) && faint.includes(false), "rates of few and of many");
  const total = await page.locator("table.wide").first().locator("tfoot tr > *").allTextContents();
  assert.equal(digits(total[1]), (await api("funnels/impression_to_chat/report", range)).rows[0].reached);
  await shoot(page, "breakdown-light");
  await clean(page);
});

test("the largest values stand apart, and the others are one group that can be looked into", async () => {
  const page = await open({ funnel: "impression_to_chat", by: "device_family", top: "1" });
  const { rows } = await api("funnels/impression_to_chat/report", { ...range, by: "device_family", top: 1 });
  const first = rows.filter((r) => r.step_index === 1);
  first.sort((a, b) => (a.device_family === "(other)") - (b.device_family === "(other)") || b.reached - a.reached);
  const cells = await bodyCells(page, ":nth-match(table.wide, 1)");
  assert.deepEqual(cells.map((c) => [c[0], digits(c[1])]), first.map((r) => [r.device_family, r.reached]));
  assert.ok(first.some((r) => r.device_family === "(other)"), "the lake has one device family only");
  await page.getByRole("link", { name: "(other)" }).click();
  await ready(page);
  assert.match(page.url(), /NOT\+IN/);
  const others = rows.filter((r) => r.device_family === "(other)").sort((a, b) => a.step_index - b.step_index);
  assert.deepEqual((await page.locator(".step .count").allTextContents()).map(digits), others.map((r) => r.reached));
  await page.goBack();
  await ready(page);
  await page.getByLabel("Values shown").selectOption("all");
  await ready(page);
  const all = await api("funnels/impression_to_chat/report", { ...range, by: "device_family" });
  assert.equal((await bodyCells(page, ":nth-match(table.wide, 1)")).length, all.rows.filter((r) => r.step_index === 1).length);
  await clean(page);
});

const day = (text, days) => new Date(Date.parse(text) + days * 86_400_000).toISOString().slice(0, 10);

test("key figures are the API's, with what they were in the period before", async () => {
  const to = status.accounts[0].last_whole_day;
  const whole = { ...range, from: day(to, -1), to };
  const page = await open({ ...whole, funnel: "impression_to_chat" });
  assert.equal(await page.locator(".delta").count(), 0);
  await page.getByLabel("Compare with").selectOption("previous");
  await page.waitForURL(/compare=previous/);
  await ready(page);
  const { rows, previous, text, period } = await api("funnels/impression_to_chat/comparison", whole);
  assert.deepEqual([period.coverage, previous.coverage], ["whole", "whole"], text);
  const figures = await page.locator(".figures > div").evaluateAll((all) => Object.fromEntries(all.map((x) => [x.querySelector("dt").textContent,
    [x.querySelector("dd > b").textContent, x.querySelector(".delta")?.textContent, x.querySelector(".delta > b")?.textContent]])));
  const last = rows[rows.length - 1];
  const near = (shown, wanted) => assert.ok(Math.abs(Math.abs(digits(shown)) - Math.abs(wanted * 100)) <= 0.0501, `${shown} is not ${wanted}`);
  assert.equal(digits(figures.Entered[0]), rows[0].reached);
  assert.match(figures.Entered[1], new RegExp(`from ${rows[0].reached_before}$`));
  near(figures.Entered[2], rows[0].reached_change);
  assert.equal(digits(figures.Completed[0]), last.reached);
  assert.match(figures.Conversion[1], new RegExp(`\\(${last.reached_before} of ${rows[0].reached_before}\\)`));
  near(figures.Conversion[2], last.rate_from_first_change);
  assert.equal(figures.Conversion[1].includes("chance"), last.rate_from_first_change_low <= 0 && last.rate_from_first_change_high >= 0);
  const drop = rows.reduce((most, row) => ((row.dropped ?? -1) > (most?.dropped ?? 0) ? row : most), null);
  assert.equal(digits(figures["Biggest loss"][0]), drop.dropped);
  assert.match(figures["Biggest loss"][1], new RegExp(`\\(${drop.dropped_before} of ${drop.previous_before}\\)`));
  near(figures["Biggest loss"][2], drop.drop_rate_change);
  assert.ok("Median time" in figures);
  assert.ok((await page.locator(".versus").textContent()).includes(previous.from));
  await shoot(page, "compare-light", false);
  await clean(page);
});

test("a period before that the lake does not hold is said, and no change is shown", async () => {
  const page = await open({ funnel: "both", compare: "previous" });
  const said = await page.locator(".versus").allTextContents();
  assert.equal(said.length, 2);
  for (const text of said) assert.match(text, /The lake has nothing of the period before, .* no change is shown/);
  assert.equal(await page.locator(".delta").count(), 0);
  await clean(page);
});

test("the URL restores the view after a reload, back and forward", async () => {
  const page = await open({ funnel: "impression_to_chat" });
  await page.getByLabel("Break down by").fill("device_family");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "By device_family" }).waitFor();
  await ready(page);
  const link = page.url();
  assert.match(link, /by=device_family/);
  const before_reload = await bodyCells(page, "main");
  await page.reload();
  await ready(page);
  assert.deepEqual(await bodyCells(page, "main"), before_reload);
  await page.getByRole("navigation", { name: "Funnels" }).getByRole("link", { name: "Chat lifecycle" }).click();
  await ready(page);
  await page.goBack();
  await page.waitForURL(link);
  await ready(page);
  assert.deepEqual(await bodyCells(page, "main"), before_reload);
  await page.goForward();
  await ready(page);
  assert.match(page.url(), /funnel=chat_lifecycle/);
  await clean(page);
});

test("the keyboard leads from a bar over the reasons to a timeline, and back to the bar", async () => {
  const page = await open({ funnel: "unmonitored" });
  const { losses } = await api("funnels/unmonitored/losses", range);
  const worst = losses.filter((l) => l.state === "dropped").sort((a, b) => b.keys - a.keys)[0];
  const bar = page.locator(".step").nth(worst.level - 1).locator(".step-link");
  await bar.focus();
  await page.keyboard.press("Enter");
  const drawer = page.getByRole("dialog");
  await drawer.getByRole("heading", { name: /^Stopped after/ }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "drawer-title");
  await drawer.locator(".reasons a").first().waitFor();
  const reason = drawer.locator(".reasons a", { hasText: "dropped" }).first();
  await reason.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/state=dropped/);
  const patch = { ...range, level: worst.level, state: "dropped", reason: worst.reason, limit: 100 };
  const { keys, total } = await api("funnels/unmonitored/keys", patch);
  await drawer.locator(".keys .key").first().waitFor();
  assert.equal(digits(await drawer.locator(".total").textContent().then((t) => t.split(" ")[0])), total);
  assert.equal(await drawer.locator(".keys .key").count(), keys.length);
  const outcomes = keys.filter((row) => row.offer_outcome);
  assert.ok(outcomes.length > 0);
  assert.equal(await drawer.getByRole("columnheader", { name: "Became of the offer" }).count(), 1);
  await shoot(page, "people-light", false);
  const [file] = await Promise.all([page.waitForEvent("download"), drawer.getByRole("button", { name: /^CSV of these/ }).click()]);
  const { limit: _, ...all } = patch;
  const csv = await (await fetch(address("api/v1/funnels/unmonitored/keys", { ...all, format: "csv_safe" }), { headers: HEADERS })).text();
  assert.equal((await readFile(await file.path())).toString(), csv);
  const first = drawer.locator(".keys .key").first();
  const key = new URL(await first.getAttribute("href"), base).searchParams.get("key");
  await first.focus();
  await page.keyboard.press("Enter");
  await drawer.locator(".event").first().waitFor();
  const { rows } = await api(`funnels/unmonitored/explain/${encodeURIComponent(key)}`, range);
  assert.equal(await drawer.locator(".event").count(), rows.length);
  const text = await drawer.textContent();
  for (const row of rows) assert.ok(text.includes(row.event_id) && text.includes(`${row.kafka_topic} / ${row.kafka_partition} / ${row.kafka_offset}`));
  assert.match(await drawer.locator(".verdict").textContent(), /Reached .*No further, because/s);
  await shoot(page, "timeline-light", false);
  assert.deepEqual(await violations(page), []);
  await page.goBack();
  await drawer.locator(".keys .key").first().waitFor();
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.searchParams.has("level"));
  assert.ok(await bar.evaluate((node) => node === document.activeElement));
  await clean(page);
});

test("a long list of keys is paged to its end", async () => {
  const page = await open({ funnel: "impression_to_chat", level: "1" });
  const { total } = await api("funnels/impression_to_chat/keys", { ...range, level: 1, limit: 1 });
  const more = page.getByRole("button", { name: /Load .* more/ });
  await page.locator(".keys .key").first().waitFor();
  while (await more.count() && await page.locator(".keys .key").count() < 300) {
    const had = await page.locator(".keys .key").count();
    await more.click();
    await page.waitForFunction((n) => document.querySelectorAll(".keys .key").length > n, had);
  }
  const links = await page.locator(".keys .key").evaluateAll((all) => all.map((a) => a.href));
  assert.equal(new Set(links).size, Math.min(total, 300));
  await clean(page);
});

test("CSV is the API's, and the picture is a PNG", async () => {
  const page = await open({ funnel: "unmonitored" });
  const save = async (name) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).first().click()]);
    return readFile(await file.path());
  };
  const wanted = await (await fetch(address("api/v1/funnels/unmonitored/report", { ...range, format: "csv_safe" }), { headers: HEADERS })).text();
  assert.equal((await save(/^CSV/)).toString(), wanted);
  assert.deepEqual(JSON.parse(await save(/^JSON/)), await api("funnels/unmonitored/report", range));
  for (const [shot, name] of [["funnel", /^PNG of Unmonitored/], ["trend", /^PNG of conversion per day/], ["times", /^PNG of time to the next step/]]) {
    const png = await save(name);
    assert.equal(png.subarray(1, 4).toString(), "PNG");
    assert.ok(await colors(page, png) > 50, `${name}: the picture is of one colour`);
    if (SHOTS) await import("node:fs/promises").then((fs) => fs.writeFile(`${SHOTS}/export-${shot}.png`, png));
  }
  await clean(page);
});

test("trend, breakdown and lost offers are saved as the API has them", async () => {
  const page = await open({ funnel: "unmonitored", by: "device_family", every: "week" });
  for (const [what, route, params] of [
    ["conversion per week of Unmonitored", "trend", { ...range, every: "week" }],
    ["the breakdown", "report", { ...range, by: "device_family", top: 10 }],
    ["lost offers of Unmonitored", "availability", range],
  ]) {
    for (const [form, format] of [["CSV", "csv_safe"], ["Parquet", "parquet"]]) {
      const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `${form} of ${what}`, exact: true }).click()]);
      assert.ok(file.suggestedFilename().endsWith(`.${form.toLowerCase()}`), file.suggestedFilename());
      const saved = await readFile(await file.path());
      const wanted = Buffer.from(await (await fetch(address(`api/v1/funnels/unmonitored/${route}`, { ...params, format }), { headers: HEADERS })).arrayBuffer());
      assert.ok(saved.equals(wanted) && saved.length > 40, `${form} of ${what}`);
    }
  }
  await clean(page);
});

const ask = async (sql) => {
  const answer = await fetch(`${base}api/v1/sql`, { method: "POST", headers: { ...HEADERS, "content-type": "application/json" }, body: JSON.stringify({ sql }) });
  assert.equal(answer.status, 200, sql);
  return (await answer.json()).rows;
};

test("the SQL behind each number is shown, gives that number, and has its plan", async () => {
  const to = status.accounts[0].last_whole_day;
  const days = { ...range, from: day(to, -1), to };
  const page = await open({ ...days, funnel: "unmonitored", by: "device_family", compare: "previous" });
  const boxes = page.locator("main details", { hasText: "The SQL behind" }).and(page.locator(".lazy"));
  for (const summary of await boxes.locator("> summary").all()) await summary.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".statement").length === 7);
  const texts = await page.locator(".statement").evaluateAll((all) => all.map((s) => [s.querySelector("pre").getAttribute("aria-label"), s.querySelector("pre").textContent]));
  const sql = Object.fromEntries(texts.map(([label, text]) => [label.replace("SQL: ", ""), text]));
  const same = async (title, path, params = {}, rows = "rows") => assert.deepEqual(await ask(sql[title]), (await api(`funnels/unmonitored/${path}`, { ...days, ...params }))[rows], title);
  await same("Counts and rates", "report");
  await same("Who stopped, and why", "losses", {}, "losses");
  await same("Change against the period before", "comparison");
  await same("conversion per day of Unmonitored", "trend");
  await same("the breakdown", "report", { by: "device_family", top: 10 });
  await same("lost offers of Unmonitored", "availability");
  const { rows } = await api("funnels/unmonitored/report", days);
  const times = await ask(sql["time to the next step of Unmonitored"]);
  assert.deepEqual(times.map((t) => [t.p50_seconds_to_next, t.histogram]), rows.map((r) => [r.p50_seconds_to_next, r.histogram]));
  for (const summary of await page.locator(".statement summary").all()) await summary.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("pre.plan").length === 7);
  for (const plan of await page.locator("pre.plan").allTextContents()) assert.match(plan, /TableScan[^]*-- .*\(\)[^]*Exec/);
  const copied = page.getByRole("button", { name: "Copy SQL of Counts and rates" });
  await copied.click();
  await page.getByText("Copied", { exact: true }).first().waitFor();
  await shoot(page, "sql-light");
  assert.deepEqual(await violations(page), []);
  await clean(page);
});

test("a list of people has its SQL", async () => {
  const page = await open({ funnel: "unmonitored", level: "2" });
  const drawer = page.getByRole("dialog");
  await drawer.locator(".keys .key").first().waitFor();
  await drawer.getByText("The SQL behind this list").click();
  await drawer.locator(".statement pre").first().waitFor();
  const found = await ask(await drawer.locator(".statement pre").first().textContent());
  const { total } = await api("funnels/unmonitored/keys", { ...range, level: 2, limit: 1 });
  assert.equal(found.length, total);
  await clean(page);
});

for (const theme of ["light", "dark"]) {
  for (const funnel of ["both", "unmonitored"]) {
    test(`axe finds nothing in ${funnel}, ${theme}`, async () => {
      const page = await open({ funnel, theme, ...(funnel === "unmonitored" && { by: "device_family" }) });
      await unfold(page);
      assert.deepEqual(await violations(page), []);
      await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = false; }));
      await shoot(page, `${funnel}-${theme}`);
      await clean(page);
    });
  }
}

// 680 px is what a window of 1360 px has left at 200 %.
for (const width of [320, 360, 680]) {
  test(`no sideways scroll at ${width} px`, async () => {
    for (const patch of [{ funnel: "both" }, { funnel: "unmonitored", by: "device_family" }, { funnel: "unmonitored", level: "4" }]) {
      const page = await open(patch, { viewport: { width, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
      if (!patch.level) await unfold(page);
      else await page.locator(".keys .key").first().waitFor();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width);
      assert.ok(await page.evaluate(() => { const d = document.querySelector("#drawer"); return d.scrollWidth <= d.clientWidth + 1; }));
      await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = false; }));
      if (width === 360) await shoot(page, `phone-${patch.funnel}${patch.level ? "-people" : ""}`, !patch.level);
      await clean(page);
    }
  });
}

test("errors show the server's words and the request id, and can be retried", async () => {
  const page = await open({ funnel: "unmonitored", where: "no_such_column = 1" });
  const problem = await api("funnels/unmonitored/report", { ...range, where: "no_such_column = 1" });
  const shown = await page.getByRole("alert").textContent();
  assert.ok(shown.includes(problem.detail), shown);
  assert.match(shown, /Request \S+/);
  await shoot(page, "error-light", false);
  await page.getByLabel("Only where").fill("");
  await page.keyboard.press("Enter");
  await page.locator(".step").first().waitFor();
  assert.deepEqual(page.seen.errors.filter((e) => !e.includes("400")), []);
  await page.context().close();
});

test("a range without entries says so and leads to the data", async () => {
  const page = await open({ funnel: "unmonitored", from: "2001-01-01", to: "2001-01-02" });
  await page.getByRole("heading", { name: "Nobody entered this funnel" }).waitFor();
  await page.getByRole("link", { name: "Show all of them" }).click();
  await page.locator(".step").first().waitFor();
  await clean(page);
});

test("a server that asks for a token gets one from the form", async () => {
  const page = await open(null);
  let asked = 0;
  await page.route("**/api/v1/**", (route) => {
    if (route.request().headers().authorization === "Bearer right") {
      return process.env.FUNNEL_TOKEN ? route.continue({ headers: { ...route.request().headers(), ...HEADERS } }) : route.continue();
    }
    asked += 1;
    return route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify({ title: "Unauthorized", status: 401, detail: "A token is needed.", request_id: "r1" }) });
  });
  if (process.env.FUNNEL_TOKEN) await page.addInitScript(() => sessionStorage.clear());
  await page.goto(address_of({ funnel: "chat_lifecycle" }));
  const form = page.getByRole("dialog", { name: "Access token" });
  await form.getByLabel("Token").fill("right");
  await page.keyboard.press("Enter");
  await page.locator(".step").first().waitFor();
  assert.ok(asked > 0);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  await page.context().close();
});

test("what the numbers rest on is said: how old they are, and whether the ledger closes", async () => {
  const page = await open({ funnel: "chat_lifecycle" });
  assert.equal(await page.locator("#stale").isVisible(), status.is_stale);
  if (status.is_stale) assert.match(await page.locator("#stale").textContent(), /No newer events for \d+/);
  const { rows } = await api("queries/ledger_summary");
  assert.ok(rows.length > 0 && rows.every((row) => row.closes));
  assert.match(await page.locator(".facts").textContent(), /closes: every offset read has one fate/);
  await clean(page);
});

test("the page is small", async () => {
  const page = await open({ funnel: "both" });
  const sizes = await page.evaluate(() => ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
    .filter((entry) => !entry.name.includes("/api/")).map((entry) => entry.encodedBodySize));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(sizes.length > 10 && sizes.every((size) => size > 0), `${sizes}`);
  assert.ok(total <= 100_000, `${total} bytes`);
  await clean(page);
});

test("nothing moves for those who asked for that", async () => {
  for (const [reducedMotion, moving] of [["no-preference", true], ["reduce", false]]) {
    const page = await open(null, { reducedMotion });
    let release;
    await page.route("**/report?**", async (route) => { await new Promise((resolve) => { release = resolve; }); await route.continue().catch(() => {}); });
    await page.goto(address_of({ funnel: "chat_lifecycle" }));
    await page.locator(".skeleton").first().waitFor();
    assert.equal(await page.evaluate(() => document.getAnimations().length > 0), moving, reducedMotion);
    release?.();
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.context().close();
  }
});

test("a printed page has the numbers and no controls", async () => {
  const page = await open({ funnel: "both", theme: "dark", compare: "previous" });
  await page.emulateMedia({ media: "print" });
  for (const gone of [".controls", ".top-tools", ".tools", ".switch"]) {
    for (const node of await page.locator(gone).all()) assert.ok(!(await node.isVisible()), gone);
  }
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(255, 255, 255)");
  assert.ok(await page.locator(".step").first().isVisible());
  await shoot(page, "print");
  await clean(page);
});

test("a slow answer can be cancelled, and asked for again", async () => {
  const page = await open(null);
  let slow = true;
  await page.route("**/report?**", async (route) => {
    if (slow) await new Promise((resolve) => { setTimeout(resolve, 8000); });
    await route.continue().catch(() => {});
  });
  await page.goto(address_of({ funnel: "chat_lifecycle" }));
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("heading", { name: "Cancelled" }).waitFor();
  slow = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator(".step").first().waitFor();
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.context().close();
});

test("values are shown as text, never as markup", async () => {
  const page = await open({ funnel: "chat_lifecycle", where: "device_family <> '<img src=x onerror=alert(1)>'" });
  assert.equal(await page.locator("main img").count(), 0);
  assert.match(await page.locator("#sentence").textContent(), /<img src=x/);
  await clean(page);
});

test("the theme is a part of the address", async () => {
  const page = await open({ funnel: "chat_lifecycle", theme: "light" });
  const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.getByRole("button", { name: "Theme: light" }).click();
  await page.waitForURL(/theme=dark/);
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), light);
  await clean(page);
});

test("the skip link is the first stop", async () => {
  const page = await open({ funnel: "chat_lifecycle" });
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the funnel");
  await clean(page);
});
