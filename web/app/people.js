import { json, paths } from "./api.js";
import { $, h, announce, copy, skeleton } from "./dom.js";
import { num, stamp, NONE } from "./format.js";
import { follow, href, noDrill, read, set } from "./state.js";
import { outcomeWords, reasonWords, stateWords, units } from "./words.js";
import { table } from "./table.js";
import { timeline, verdict } from "./explain.js";
import { errorBox } from "./errors.js";
import { saveRows } from "./exports.js";
import { sqlBox } from "./sql.js";

const PAGE = 100;
let opener = null;
let job = null;
let shown = "";

// The drawer follows the URL, so that back, forward and a shared link open and close it too.
export function sync(state, columns) {
  const drawer = $("drawer");
  if (!state.level && !state.key) {
    shown = "";
    job?.abort();
    if (drawer.open) drawer.close();
    return;
  }
  const column = columns.find((c) => (c.drillFlow || "") === (state.flow || "")) || columns[0];
  const wanted = JSON.stringify([column?.params, column?.funnel, state.level, state.state, state.reason, state.key]);
  if (!column || wanted === shown) return;
  shown = wanted;
  if (!drawer.open) {
    opener = document.activeElement;
    drawer.showModal();
  }
  job?.abort();
  job = new AbortController();
  if (state.key) showKey(drawer, column, state, job.signal);
  else showStep(drawer, column, state, job.signal);
}

export function setUp() {
  const drawer = $("drawer");
  drawer.addEventListener("close", () => {
    if (read().level || read().key) set(noDrill());
    const again = opener?.isConnected ? opener : document.querySelector(`[href="${CSS.escape(opener?.getAttribute?.("href") || "")}"]`);
    (again || $("content")).focus();
  });
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
}

function frame(drawer, title, sub, content, back) {
  const heading = h("h2", { id: "drawer-title", tabindex: "-1" }, title);
  drawer.replaceChildren(
    h("div", { class: "drawer-in" },
      h("div", { class: "drawer-head" }, h("div", {}, back, heading, sub && h("p", { class: "soft" }, sub)),
        h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => drawer.close() }, "×")),
      content));
  drawer.scrollTop = 0;
  heading.focus();
}

function showStep(drawer, column, state, signal) {
  const level = Number(state.level);
  const step = column.steps[level - 1];
  const last = level === column.steps.length;
  const list = h("div", {}, skeleton(6));
  const title = last ? `Reached ${step?.title || `step ${level}`}` : `Stopped after ${step?.title || `step ${level}`}`;
  const next = column.steps[level];
  const sub = last ? `${column.title}: the whole way` : `${column.title}: last step ${level} of ${column.steps.length}${next ? `; next would have been ${next.title}` : ""}`;
  frame(drawer, title, sub, [levelSelect(column, state), reasons(column, state), list]);
  const params = { ...column.params, level, state: state.state, reason: state.reason, limit: PAGE };
  loadKeys(column, params, state, list, [], signal);
}

function levelSelect(column, state) {
  return h("label", { class: "field inline" }, h("span", {}, "Last step"),
    h("select", { onchange: (e) => set({ level: e.target.value, state: null, reason: null, key: null }) },
      column.steps.map((step, i) => h("option", { value: String(i + 1), selected: Number(state.level) === i + 1 }, `${i + 1}. ${step.title}`))));
}

function reasons(column, state) {
  const here = (column.losses || []).filter((loss) => loss.level === Number(state.level));
  if (!here.length) return null;
  const all = { state: null, reason: null };
  const choice = (patch, words, count) => {
    const on = (state.state || null) === patch.state && (state.reason || null) === patch.reason;
    return h("li", {}, h("a", { href: href(state, patch), "aria-current": on ? "true" : null, onclick: (e) => follow(e, patch) },
      h("span", {}, words), h("b", { class: "n" }, count)));
  };
  return h("ul", { class: "reasons", "aria-label": "Why" },
    here.map((loss) => choice({ state: loss.state, reason: loss.reason || null },
      stateWords(loss.state) + (loss.reason ? `: ${reasonWords(loss.reason)}` : ""), num(loss.keys))),
    here.length > 1 && choice(all, "all of them", ""));
}

async function loadKeys(column, params, state, list, before, signal) {
  try {
    const page = await json(paths.keys(column.funnel), params, signal);
    const keys = [...before, ...page.keys];
    const more = page.next && h("button", { type: "button", onclick: (e) => {
      e.target.disabled = true;
      loadKeys(column, { ...params, after: page.next }, state, list, keys, signal);
    } }, `Load ${num(PAGE)} more`);
    list.replaceChildren(h("p", { class: "soft total" }, `${num(page.total)} ${units(column.unit)}`, page.next && `, ${num(keys.length)} listed`,
      page.total > 0 && saveRows(["CSV"], `these ${units(column.unit)}`, paths.keys(column.funnel), `${column.funnel}-keys`, { ...params, after: null, limit: null })),
      keys.length ? keysTable(column, keys, state) : h("p", { class: "empty" }, "Nobody."), more || "", keysSql(column, state));
    announce(`${num(page.total)} ${units(column.unit)}`);
  } catch (error) {
    if (error.name !== "AbortError") list.replaceChildren(errorBox(error));
  }
}

function keysSql(column, { level, state, reason }) {
  return sqlBox("this list", [{ title: `these ${units(column.unit)}`, funnel: column.funnel, params: { ...column.params, level, state, reason }, of: "keys" }]);
}

function keyWords(key) {
  const parts = String(key).split("|");
  return [h("b", {}, parts.pop()), parts.length > 0 && h("small", {}, parts.join(" · "))];
}

function keysTable(column, keys, state) {
  const lastTime = (row) => (row.step_times || []).reduce((last, time) => (time && (!last || time > last) ? time : last), null);
  const mixed = new Set(keys.map((row) => `${row.state} ${row.reason}`)).size > 1;
  return table(`${units(column.unit)} that stopped here`, [
    { key: "key", title: "Key", cell: (row) => h("a", { class: "key", href: href(state, { key: row.key }), onclick: (e) => follow(e, { key: row.key }) }, keyWords(row.key)) },
    mixed && { key: "state", title: "Outcome", cell: (row) => stateWords(row.state) + (row.reason ? `: ${reasonWords(row.reason)}` : "") },
    keys.some((row) => row.offer_outcome) && { key: "offer_outcome", title: "Became of the offer", cell: (row) => (row.offer_outcome ? outcomeWords(row.offer_outcome) : NONE) },
    { key: "last", title: "Last step at", value: lastTime, cell: (row) => (lastTime(row) ? stamp(lastTime(row)) : NONE) },
  ].filter(Boolean), keys, { class: "keys" });
}

async function showKey(drawer, column, state, signal) {
  const body = h("div", {}, skeleton(8));
  const back = state.level && h("a", { class: "back", href: href(state, { key: null }), onclick: (e) => follow(e, { key: null }) },
    `‹ ${column.steps[Number(state.level) - 1]?.title || "Back"}`);
  const copyKey = h("button", { type: "button", class: "quiet", onclick: (e) => copy(state.key, e.target) }, "Copy key");
  frame(drawer, `Timeline of one ${column.unit}`, null, [h("p", { class: "whole-key" }, h("code", {}, state.key), copyKey), body], back);
  try {
    const answer = await json(paths.explain(column.funnel, state.key), column.params, signal);
    body.replaceChildren(verdict(answer, column.steps), timeline(answer));
    announce(`${answer.rows.length} events`);
  } catch (error) {
    if (error.name !== "AbortError") body.replaceChildren(errorBox(error));
  }
}
