import { h } from "./dom.js";
import { change, dur, num, pct, pointsOf, range } from "./format.js";
import { units } from "./words.js";

// The row of key figures; `compared` is what the server says of the period before, once it is known.
export function figures(column, compared) {
  const rows = [...column.rows].sort((a, b) => a.step_index - b.step_index);
  const first = rows[0];
  const last = rows[rows.length - 1];
  const drop = rows.reduce((most, row) => ((row.dropped ?? -1) > (most?.dropped ?? 0) ? row : most), null);
  // What was counted of a period that is not all there would look like a change.
  const known = compared?.previous?.coverage === "whole" ? compared.rows : null;
  const beside = (row) => known?.find((other) => other.step_index === row.step_index);
  const whole = last.p50_seconds_from_first;
  return h("div", { class: "figures-box" }, h("dl", { class: "figures" },
    figure("Entered", num(first.reached), `${units(column.unit)} at ${first.title}`, counts(beside(first))),
    figure("Completed", num(last.reached), `at ${last.title}`, counts(beside(last))),
    figure("Conversion", pct(last.rate_from_first), `95\u202f%: ${range(last.rate_from_first_low, last.rate_from_first_high)}`, conversion(beside(last), beside(first))),
    drop && figure("Biggest loss", num(drop.dropped), `of ${num(drop.previous)} before ${drop.title}`, loss(beside(drop))),
    whole !== null && figure("Median time", dur(whole), `${first.title} to ${last.title}`, time(beside(last)))),
  note(compared));
}

function figure(title, value, detail, delta) {
  return h("div", {}, h("dt", {}, title), h("dd", {}, h("b", {}, value), h("small", {}, detail), delta));
}

// `good` is the direction that is welcome. Good or bad is only what chance does not explain.
function delta(value, words, from, good, maybe) {
  if (value === null || value === undefined) return h("small", { class: "delta" }, from);
  const way = value > 0 ? "up" : value < 0 ? "down" : "same";
  const mood = !good || way === "same" || maybe ? "" : way === good ? "good" : "bad";
  return h("small", { class: `delta ${way} ${mood}` }, h("b", {}, words), " ", from, maybe && h("span", { class: "maybe" }, " · may be chance"));
}

function counts(row) {
  return row && delta(row.reached_change, row.reached_change === null ? "" : change(row.reached_change), `from ${num(row.reached_before)}`);
}

// Bounds on both sides of zero: chance alone can have made the difference.
const chance = (row, name) => row[`${name}_change_low`] <= 0 && row[`${name}_change_high`] >= 0;

function rated(row, name, from, good) {
  const value = row[`${name}_change`];
  return delta(value, value === null ? "" : pointsOf(value), from, good, value !== null && value !== 0 && chance(row, name));
}

function conversion(row, first) {
  return row && rated(row, "rate_from_first", `from ${pct(row.rate_from_first_before)} (${num(row.reached_before)} of ${num(first.reached_before)})`, "up");
}

function loss(row) {
  return row && rated(row, "drop_rate", `from ${pct(row.drop_rate_before)} (${num(row.dropped_before)} of ${num(row.previous_before)})`, "down");
}

function time(row) {
  if (!row) return null;
  const value = row.p50_seconds_from_first_change;
  return delta(value, value === null ? "" : `${value > 0 ? "+" : ""}${dur(value)}`, `from ${dur(row.p50_seconds_from_first_before)}`);
}

function note(compared) {
  if (!compared) return null;
  if (compared.waiting) return h("p", { class: "note versus waiting" }, "Counting the period before…");
  const whole = compared.period.coverage === "whole" && compared.previous.coverage === "whole";
  const text = compared.text[0].toUpperCase() + compared.text.slice(1);
  return h("p", { class: whole ? "note versus" : "note versus partial" }, `${text}.${whole ? "" : " So no change is shown."}`);
}
