import { h } from "./dom.js";
import { num, pct, dur } from "./format.js";
import { follow, href, read } from "./state.js";
import { stateWords, reasonWords, units } from "./words.js";
import { table } from "./table.js";

const MIN_BAR = 2;

// One card per step in the order of the definition, whatever the numbers are.
export function bars(column) {
  const rows = [...column.rows].sort((a, b) => a.step_index - b.step_index);
  const scale = Math.max(1, ...rows.map((row) => row.reached));
  const list = h("ol", { class: "steps" }, rows.map((row, i) => step(column, rows, i, scale)));
  return h("figure", { class: "bars", "aria-label": `${column.title}: ${summary(rows, column.unit)}` },
    h("div", { class: "bars-head", "aria-hidden": "true" },
      h("span"), h("span", {}, "Step"), h("span", {}), h("span", { class: "n" }, "Reached"),
      h("span", { class: "n" }, "of previous"), h("span", { class: "n" }, "of first")),
    list,
    h("figcaption", { class: "note" }, "Select a step to see who stopped there, and why.",
      rows.some((row) => row.skipped > 0) && " “Without” are those who went on without the step: it is optional, or its event is missing."));
}

export function summary(rows, unit) {
  const first = rows[0];
  const last = rows[rows.length - 1];
  return `${num(first.reached)} ${units(unit)} entered, ${num(last.reached)} reached ${last.title}, ${pct(last.rate_from_first)} of the first step`;
}

function step(column, rows, i, scale) {
  const row = rows[i];
  const before = rows[i - 1];
  const patch = { flow: column.drillFlow || null, level: row.step_index, state: null, reason: null, key: null };
  // What the rate is a rate of is said where it is not simply the bar above.
  const other = before && row.previous !== null && row.previous !== before.reached;
  const label = `${row.title}${row.optional ? " (optional)" : ""}: ${num(row.reached)}`
    + (before ? `, ${pct(row.rate_from_previous)} of ${num(row.previous)} before, ${pct(row.rate_from_first)} of first` : "")
    + `. Show who stopped here.`;
  return h("li", { class: row.optional ? "step optional" : "step", "data-step": row.step },
    h("a", { class: "step-link", href: href(read(), patch), "aria-label": label, onclick: (e) => follow(e, patch) },
      h("span", { class: "index" }, String(row.step_index)),
      h("span", { class: "name" }, h("span", {}, row.title), row.optional && h("small", {}, "optional")),
      track(row, scale),
      h("span", { class: "count n" }, num(row.reached)),
      h("span", { class: "rate previous n" }, before ? pct(row.rate_from_previous) : "", other && h("small", {}, `of ${num(row.previous)}`)),
      h("span", { class: "rate first n" }, pct(row.rate_from_first))),
    losses(column, row));
}

function track(row, scale) {
  const share = (value) => `${Math.min(100, (100 * value) / scale)}%`;
  return h("span", { class: "track", "aria-hidden": "true" },
    row.previous > row.reached && h("i", { class: "lost", style: { width: share(row.previous) } }),
    h("i", { class: "bar", style: { width: share(row.reached), "min-width": row.reached > 0 ? `${MIN_BAR}px` : "0" } }));
}

// Whose last step this is, by reason. These are the very rows that the list of people shows.
function losses(column, row) {
  const here = (column.losses || []).filter((loss) => loss.level === row.step_index && loss.state !== "converted");
  if (!column.losses) return h("p", { class: "chips waiting", "aria-hidden": "true" });
  if (!here.length && !row.skipped) return null;
  return h("p", { class: "chips" },
    here.map((loss) => {
      const patch = { flow: column.drillFlow || null, level: row.step_index, state: loss.state, reason: loss.reason, key: null };
      return h("a", { class: `chip ${loss.state}`, href: href(read(), patch), onclick: (e) => follow(e, patch) },
        h("b", {}, num(loss.keys)), ` ${stateWords(loss.state)}`,
        loss.state === "dropped" && loss.reason && loss.reason !== "never_seen" ? `: ${reasonWords(loss.reason)}` : "",
        h("span", { class: "sr-only" }, ` after ${row.title}`));
    }),
    row.skipped > 0 && h("span", { class: "chip without" }, h("b", {}, num(row.skipped)), " without"));
}

export function stepsTable(column) {
  const rows = [...column.rows].sort((a, b) => a.step_index - b.step_index);
  const number = (key, title, hint, format = num) => ({ key, title, hint, number: true, sort: false, cell: (row) => format(row[key]) });
  return table(`Steps of ${column.title}`, [
    { key: "title", title: "Step", sort: false, cell: (row) => [row.title, row.optional && h("small", {}, " optional")] },
    number("reached", "Reached"),
    number("previous", "Previous", "Those of whom the rate is a part"),
    number("rate_from_previous", "of previous", null, pct),
    number("rate_from_first", "of first", null, pct),
    number("dropped", "Dropped", "Should have reached this step and did not"),
    number("open", "Open", "Can still reach this step"),
    number("skipped", "Without", "Went on without this step"),
    number("required", "Required", "For how many the step applied"),
    number("p50_seconds_to_next", "p50 to next", "Median time to the next step", dur),
    number("p90_seconds_to_next", "p90", null, dur),
    number("p99_seconds_to_next", "p99", null, dur),
    number("mean_seconds_to_next", "Mean", null, dur),
    number("min_seconds_to_next", "Min", null, dur),
    number("max_seconds_to_next", "Max", null, dur),
  ], rows);
}
