import { h } from "./dom.js";
import { num, pct, range } from "./format.js";
import { follow, href, read, set } from "./state.js";
import { valueWords, units } from "./words.js";
import { table } from "./table.js";

// So many values stay apart unless the address says otherwise; the server makes one group of the others.
export const TOP = 10;
const OTHER = "(other)";
const FEW = 30;
const SHOWN = 25;

// `all` are the rows of the same question without the breakdown: a total that counts everybody once.
export function breakdown(report, columns, all) {
  const segments = bySegment(report.rows, columns);
  if (!segments.length) return h("p", { class: "empty" }, "No segment in this range.");
  const box = h("div", { "data-view": true });
  let shown = null;
  // The basis is a matter of the view: another one asks the server nothing.
  const draw = () => {
    const state = read();
    if (shown === (shown = state.basis || "first")) return;
    const focused = box.contains(document.activeElement);
    box.replaceChildren(...view(report, columns, all, segments, state));
    if (focused) box.querySelector('[aria-pressed="true"]').focus();
  };
  box.addEventListener("view", draw);
  draw();
  return box;
}

function view(report, columns, all, segments, state) {
  const basis = state.basis === "previous" ? "previous" : "first";
  const rate = `rate_from_${basis}`;
  const steps = segments[0].rows;
  const last = steps[steps.length - 1];
  const of = (segment, step) => segment.rows.find((row) => row.step === step.step);
  const total = { words: `All ${units(report.header.unit)}`, rows: [...all].sort((a, b) => a.step_index - b.step_index), total: true };
  const heads = [
    { key: "segment", title: columns.join(", "), value: (seg) => seg.words, cell: (seg) => (seg.total ? seg.words : only(seg, columns, state, segments)) },
    { key: steps[0].step, title: steps[0].title, number: true, value: (seg) => seg.rows[0].reached, cell: (seg) => num(seg.rows[0].reached) },
    ...steps.slice(1).map((step) => ({
      key: step.step, title: step.title, number: true, value: (seg) => of(seg, step)?.[rate],
      cell: (seg) => cell(of(seg, step), rate, basis, seg),
    })),
  ];
  const [key, down] = (state.sort || `${steps[0].step}.down`).split(".");
  return [basisSwitch(basis),
    table(`By ${columns.join(", ")}: ${units(report.header.unit)} from ${steps[0].title} to ${last.title}, % of ${basis}`, heads, segments, {
      limit: SHOWN, class: "wide", total, last: (seg) => seg.values.includes(OTHER), sort: { key, down: down === "down" },
      onSort: (sort) => set({ sort: `${sort.key}.${sort.down ? "down" : "up"}` }, { replace: true }),
    }),
    h("p", { class: "note" }, `Below each rate: where the true one lies with 95 % confidence (Wilson), and the count. Faint: a rate of fewer than ${FEW}. `
      + (report.header.top ? `Of ${columns.length > 1 ? "each column" : columns[0]} the values with the most ${units(report.header.unit)} stand apart, ${report.header.top} at most. ` : "")
      + `Values may share a ${report.header.unit}, so they need not add up to the last row, which counts each once.`)];
}

function bySegment(rows, columns) {
  const segments = new Map();
  for (const row of rows) {
    const values = columns.map((column) => row[column]);
    const id = JSON.stringify(values);
    if (!segments.has(id)) segments.set(id, { values, words: values.map(valueWords).join(" · "), rows: [] });
    segments.get(id).rows.push(row);
  }
  for (const segment of segments.values()) segment.rows.sort((a, b) => a.step_index - b.step_index);
  return [...segments.values()];
}

function cell(row, rate, basis, segment) {
  if (!row) return "";
  const few = (basis === "previous" ? row.previous : segment.rows[0].reached) < FEW;
  return h("span", { class: few ? "pair few" : "pair" }, h("b", {}, pct(row[rate])),
    h("small", { class: "bounds" }, range(row[`${rate}_low`], row[`${rate}_high`])), h("small", {}, num(row.reached)));
}

export const topOf = (state) => (state.top === "all" ? null : state.top || TOP);

const literal = (value) => (typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value));
// Beside others the values of every column are texts; a truth value does not compare with one.
const text = (column, values) => (values.some((value) => value === "true" || value === "false") ? `CAST(${column} AS VARCHAR)` : column);
export const condition = (column, value) => (value === null || value === undefined ? `${column} IS NULL` : `${text(column, [value])} = ${literal(value)}`);

// The others of a column are those that have a value, and none of the values that stand apart.
function conditionOf(column, at, segment, segments) {
  const value = segment.values[at];
  if (value !== OTHER) return condition(column, value);
  const apart = [...new Set(segments.map((seg) => seg.values[at]))].filter((v) => v !== OTHER && v !== null && v !== undefined);
  return apart.length ? `${text(column, apart)} NOT IN (${apart.map(literal).join(", ")})` : `${column} IS NOT NULL`;
}

export function both(where, extra) {
  return where ? `(${where}) AND ${extra}` : extra;
}

function only(segment, columns, state, segments) {
  const where = both(state.where, columns.map((column, i) => conditionOf(column, i, segment, segments)).join(" AND "));
  const patch = { where, by: null };
  return h("a", { href: href(state, patch), title: "Show only these", onclick: (e) => follow(e, patch) }, segment.words);
}

function basisSwitch(basis) {
  const option = (value, words) => h("button", { type: "button", "aria-pressed": String(basis === value), onclick: () => set({ basis: value === "first" ? null : value }) }, words);
  return h("div", { class: "switch", role: "group", "aria-label": "Percentages of" }, option("first", "% of first"), option("previous", "% of previous"));
}
