import { json, paths } from "./api.js";
import { bars, stepsTable, summary } from "./bars.js";
import { basis } from "./basis.js";
import { both, breakdown, condition, topOf } from "./breakdown.js";
import * as controls from "./controls.js";
import { $, announce, copy, h, skeleton, ticks } from "./dom.js";
import { askToken, errorBox } from "./errors.js";
import { save, savePicture, savePng, saveRows, saveTimes } from "./exports.js";
import { figures } from "./figures.js";
import { dur, stamp, long } from "./format.js";
import { availability } from "./lost.js";
import * as people from "./people.js";
import { sqlBox } from "./sql.js";
import { counted, dataKey, follow, href, noDrill, onChange, read, set } from "./state.js";
import { times } from "./times.js";
import { trend } from "./trend.js";
import { nameOf, sentence, valueWords } from "./words.js";

const SPINE = "impression_to_chat";
const FLOWS = ["monitored", "unmonitored"];
let status, funnels, job, drawn = "", columns = [];

const definition = (name) => funnels.find((f) => f.name === name) || funnels[0];
// The flow is a column of the spine; its two funnels have a flow of their own.
const withoutFlow = (params, funnel) => (funnel.units.includes(params.unit) ? params : { ...params, unit: null });

function column(name, title, params, header, rows, drillFlow) {
  const funnel = definition(name);
  return { funnel: name, title, params: { ...params, by: null }, header, rows, drillFlow, steps: funnel.steps, unit: header.unit, losses: null };
}

async function loadColumns(state, signal) {
  const params = counted(state);
  if (state.funnel !== "both") {
    const report = await json(paths.report(state.funnel), params, signal);
    return [column(state.funnel, nameOf(state.funnel), params, report.header, report.rows)];
  }
  if (state.steps === "all") {
    return Promise.all(FLOWS.map(async (name) => {
      const own = withoutFlow(params, definition(name));
      const report = await json(paths.report(name), own, signal);
      return column(name, nameOf(name), own, report.header, report.rows, name);
    }));
  }
  const own = withoutFlow(params, definition(SPINE));
  const report = await json(paths.report(SPINE), { ...own, by: "flow" }, signal);
  const found = [...new Set(report.rows.map((row) => row.flow))];
  const flows = [...FLOWS, ...found.filter((flow) => !FLOWS.includes(flow) && flow !== null)].filter((flow) => found.includes(flow));
  return flows.map((flow) => column(SPINE, nameOf(valueWords(flow)), { ...own, where: both(own.where, condition("flow", flow)) },
    report.header, report.rows.filter((row) => row.flow === flow), flow));
}

function card(title, ...content) {
  return h("section", { class: "card" }, h("h2", {}, title), content);
}

function cardHead(title, tools) {
  return h("div", { class: "card-head" }, h("h2", {}, title), h("div", { class: "tools" }, tools));
}

// A part that arrives later, and whose failure leaves the others standing.
function later(title, promise, tools, sql) {
  const body = h("div", {}, skeleton(6));
  promise.then((node) => body.replaceChildren(node), (error) => {
    if (error.name !== "AbortError") body.replaceChildren(errorBox(error));
  });
  return h("section", { class: "card" }, cardHead(title, tools), body, sql);
}

function columnHead(col) {
  const title = `${col.title}: ${summary([...col.rows].sort((a, b) => a.step_index - b.step_index), col.unit)}`;
  const sub = `${col.header.account}, ${col.header.from} to ${col.header.to} (${col.header.time_zone}), definition ${col.header.definition_hash}`;
  return cardHead(col.title, [saveRows(["CSV", "JSON", "Parquet"], col.title, paths.report(col.funnel), col.funnel, col.params),
    save("PNG", col.title, () => savePng(col, title, sub))]);
}

function columnSql(col) {
  const part = (title, of) => ({ title, of, funnel: col.funnel, params: col.params });
  return sqlBox("these numbers", [part("Counts and rates", "report"), part("Who stopped, and why", "losses"),
    read().compare && part("Change against the period before", "comparison")].filter(Boolean));
}

function columnCard(col, signal) {
  const figure = h("div", {}, bars(col));
  const head = h("div", {}, figures(col, read().compare && { waiting: true }));
  if (read().compare) compare(col, head, signal);
  return { col, figure, node: h("section", { class: "card funnel", "data-funnel": col.funnel, "data-flow": col.drillFlow },
    columnHead(col), head, figure,
    h("details", { class: "numbers" }, h("summary", {}, "Numbers as a table"), stepsTable(col)), columnSql(col)) };
}

async function compare(col, head, signal) {
  try {
    head.replaceChildren(figures(col, await json(paths.comparison(col.funnel), col.params, signal)));
  } catch (error) {
    if (error.name !== "AbortError") head.replaceChildren(figures(col), errorBox(error));
  }
}

async function loadLosses(cards, signal) {
  await Promise.all(cards.map(async ({ col, figure }) => {
    try {
      col.losses = (await json(paths.losses(col.funnel), col.params, signal)).losses;
    } catch (error) {
      if (error.name === "AbortError") return;
      col.losses = [];
      figure.after(errorBox(error));
    }
    const held = figure.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    figure.replaceChildren(bars(col));
    if (held) figure.querySelector(`[href="${CSS.escape(held)}"]`)?.focus();
  }));
}

const SAVED = ["CSV", "Parquet"];
// The figures of a part are those of the days in the title of the picture.
const pictureTitle = (words, { header }) => `${words}, ${header.from} to ${header.to} (${header.time_zone})`;

function trendCard(title, col, state, signal) {
  const every = state.every || "day";
  const params = { ...col.params, every: state.every };
  const words = `conversion per ${every} of ${col.title}`;
  let figure;
  const made = json(paths.trend(col.funnel), params, signal).then((answer) => { figure = trend(col, answer.rows, every); return figure; });
  const png = save("PNG", words, () => savePicture(figure?.querySelector("svg"), col, `per-${every}`, pictureTitle(`${col.title}: conversion per ${every}`, col)));
  return later(title, made, [saveRows(SAVED, words, paths.trend(col.funnel), `${col.funnel}-per-${every}`, params), png],
    sqlBox("the trend", [{ title: words, of: "trend", funnel: col.funnel, params }]));
}

function timesCard(title, col) {
  const words = `time to the next step of ${col.title}`;
  const figure = times(col);
  const png = save("PNG", words, () => saveTimes(figure, col, pictureTitle(`${col.title}: time to the next step`, col)));
  return h("section", { class: "card" }, cardHead(title, png), figure, sqlBox("these times", [{ title: words, of: "times", funnel: col.funnel, params: col.params }]));
}

function breakdownCard(state, all, signal) {
  const params = { ...counted(state), by: state.by, top: topOf(state) };
  const columns = state.by.split(",");
  const made = json(paths.report(state.funnel), params, signal).then((report) => breakdown(report, columns, all));
  return later(`By ${columns.join(" and ")}`, made, saveRows(SAVED, "the breakdown", paths.report(state.funnel), `${state.funnel}-by-${columns.join("-")}`, params),
    sqlBox("the breakdown", [{ title: "the breakdown", funnel: state.funnel, params }]));
}

function lostCard(title, name, col, signal) {
  // About all offers of these days: the server refuses a filter, a unit and the like for it.
  const { account, from, to } = col.params;
  const params = { account, from, to };
  const made = json(paths.availability(col.funnel), params, signal).then((answer) => availability(answer.rows, name));
  return later(title, made, saveRows(SAVED, `lost offers of ${name}`, paths.availability(col.funnel), `${col.funnel}-lost`, params),
    sqlBox("these losses", [{ title: `lost offers of ${name}`, of: "availability", funnel: col.funnel, params }]));
}

function details(state, cards, signal) {
  const many = state.funnel === "both";
  const of = (col, words) => (many ? `${words}, ${col.title.toLowerCase()}` : words);
  const parts = [
    ...cards.map(({ col }) => trendCard(of(col, `Conversion per ${state.every || "day"}`), col, state, signal)),
    ...cards.map(({ col }) => timesCard(of(col, "Time to the next step"), col)),
  ];
  const wide = !many && state.by ? [breakdownCard(state, cards[0].col.rows, signal)] : [];
  const seen = new Set();
  for (const { col } of cards) {
    if (seen.has(col.funnel)) continue;
    seen.add(col.funnel);
    const name = many && col.funnel === SPINE ? "both flows" : col.title;
    const title = "Lost offers and the agents’ state";
    wide.push(lostCard(many && col.funnel !== SPINE ? of(col, title) : title, name, col, signal));
  }
  return [h("div", { class: many ? "pair-grid" : "stack" }, parts), wide];
}

function emptyBox(col) {
  const account = status.accounts.find((a) => a.account === col.header.account);
  return h("div", { class: "card empty-box" }, h("h2", {}, "Nobody entered this funnel"),
    h("p", {}, `No ${col.steps[0].title.toLowerCase()} from ${long(col.header.from)} to ${long(col.header.to)} (${col.header.time_zone})`, read().where ? " that meets the condition." : "."),
    account && h("p", {}, `The account has events from ${long(account.first_day)} to ${long(account.last_day)} (${account.time_zone}). `,
      h("a", { href: href(read(), { from: account.first_day, to: account.last_day, where: null }), onclick: (e) => follow(e, { from: account.first_day, to: account.last_day, where: null }) }, "Show all of them")));
}

async function drawData(state) {
  job?.abort();
  job = new AbortController();
  const { signal } = job;
  const board = $("board");
  const cancel = h("button", { type: "button", class: "quiet cancel", hidden: true, onclick: () => job.abort() }, "Cancel");
  board.setAttribute("aria-busy", "true");
  board.replaceChildren(h("div", { class: "card" }, skeleton(9), cancel));
  const slow = setTimeout(() => { cancel.hidden = false; announce("Still loading"); }, 2500);
  try {
    columns = await loadColumns(state, signal);
    if (signal.aborted) return;
    showColumns(state, signal);
  } catch (error) {
    if (signal !== job.signal) return;
    columns = [];
    if (error.status === 401) askToken(error, start);
    const shown = error.name === "AbortError" ? { title: "Cancelled", message: "The question was not answered." } : error;
    board.replaceChildren(h("div", { class: "card" }, errorBox(shown, () => drawData(read()))));
    $("sentence").replaceChildren();
    announce(shown.message);
  } finally {
    clearTimeout(slow);
    if (signal === job.signal) board.setAttribute("aria-busy", "false");
  }
}

function showColumns(state, signal) {
  const board = $("board");
  const some = columns.filter((col) => col.rows.some((row) => row.reached > 0));
  if (columns.length) $("sentence").replaceChildren(...ticks(sentence(columns[0].header, state.where, state.funnel !== "both" ? state.by : state.steps === "all" ? null : "flow")));
  if (!some.length) {
    if (columns.length) board.replaceChildren(emptyBox(columns[0]), card("What the numbers rest on", basis(status, columns[0])));
    else board.replaceChildren(h("p", { class: "card empty" }, "No flow has an event in this range."));
    announce("Nobody entered this funnel");
    return;
  }
  const cards = columns.map((col) => columnCard(col, signal));
  const losses = loadLosses(cards, signal);
  board.replaceChildren(
    state.funnel === "both" ? stepSwitch(state) : "",
    h("div", { class: cards.length > 1 ? "side-by-side" : "alone" }, cards.map((c) => c.node)),
    ...details(state, cards, signal).flat(),
    card("What the numbers rest on", basis(status, columns[0])));
  announce(columns.map((col) => `${col.title}: ${summary([...col.rows].sort((a, b) => a.step_index - b.step_index), col.unit)}`).join(". "));
  // People are listed by the reasons that the losses name, so the drawer waits for them.
  losses.then(() => { if (!signal.aborted) people.sync(read(), columns); });
}

function stepSwitch(state) {
  const option = (value, words) => h("a", { href: href(state, { steps: value, ...noDrill() }), "aria-current": (state.steps || null) === value ? "true" : null, onclick: (e) => follow(e, { steps: value, ...noDrill() }) }, words);
  return h("nav", { class: "switch", "aria-label": "Steps" }, option(null, "Shared steps"), option("all", "Every step"));
}

function drawFrame(state) {
  const title = state.funnel === "both" ? "Monitored beside unmonitored" : nameOf(state.funnel);
  document.title = `${title} · Engagement funnel`;
  const question = state.funnel === "both" ? "How do visitors fare who were invited by the Web Tag, and those of your own button?" : definition(state.funnel).question;
  $("title").textContent = question;
  $("funnels").replaceChildren(...["both", ...funnels.map((f) => f.name)].map((name) => {
    const patch = { funnel: name, unit: null, mode: null, sort: null, ...noDrill() };
    return h("a", { href: href(state, patch), "aria-current": name === state.funnel ? "page" : null, onclick: (e) => follow(e, patch) }, nameOf(name));
  }));
  const theme = state.theme || "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" }[theme];
  controls.draw(state, status, definition(state.funnel === "both" ? (state.steps === "all" ? "monitored" : SPINE) : state.funnel));
}

function onState(state) {
  const ready = complete(state);
  if (ready !== state) return set(ready, { replace: true });
  drawFrame(state);
  const key = dataKey(state);
  if (key !== drawn) {
    drawn = key;
    drawData(state);
    return;
  }
  for (const view of document.querySelectorAll("[data-view]")) view.dispatchEvent(new Event("view"));
  people.sync(state, columns);
}

// A bare address is completed, so that what is shown can always be linked to.
function complete(state) {
  const account = status.accounts.find((a) => a.account === state.account) || status.accounts[0];
  const range = controls.presets(account)[2][2];
  const known = state.funnel === "both" || funnels.some((f) => f.name === state.funnel);
  const patch = {};
  if (!known) patch.funnel = "both";
  if (state.account !== account.account) patch.account = account.account;
  if (!state.from) patch.from = state.to && state.to < range.from ? state.to : range.from;
  if (!state.to) patch.to = state.from && state.from > range.to ? state.from : range.to;
  return Object.keys(patch).length ? { ...state, ...patch } : state;
}

async function start() {
  $("board").replaceChildren(h("div", { class: "card" }, skeleton(9)));
  try {
    [status, funnels] = await Promise.all([json("status"), json("funnels")]);
  } catch (error) {
    if (error.status === 401) askToken(error, start);
    $("board").replaceChildren(h("div", { class: "card" }, errorBox(error, start)));
    $("board").setAttribute("aria-busy", "false");
    return;
  }
  if (!status.accounts.length) {
    $("board").replaceChildren(h("div", { class: "card empty-box" }, h("h2", {}, "The lake holds no event yet"), h("p", {}, "Start an ingest; then reload this page.")));
    return;
  }
  $("stale").hidden = !status.is_stale;
  $("stale").textContent = `No newer events for ${dur(status.behind_seconds)}: everything here ends with ${stamp(status.complete_until)}.`;
  $("as-of").replaceChildren("Complete until ", h("time", { datetime: status.complete_until }, stamp(status.complete_until)));
  $("foot").textContent = `${status.version} · ${status.lake} · read ${stamp(status.snapshot_at)}`;
  if (!start.once) {
    start.once = true;
    controls.setUp(status);
    onChange(onState);
  }
  drawn = "";
  onState(read());
}

people.setUp();
$("copy-link").addEventListener("click", (event) => copy(location.href, event.target));
$("theme").addEventListener("click", () => {
  const next = { auto: "light", light: "dark", dark: null };
  set({ theme: next[read().theme || "auto"] }, { replace: true });
});
addEventListener("beforeprint", () => document.querySelectorAll(".numbers").forEach((d) => { d.open = true; }));
start();
