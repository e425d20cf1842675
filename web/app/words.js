import { long } from "./format.js";

const UNITS = { session: "sessions", offer: "offers", conversation: "conversations", visitor: "visitors" };
export const units = (unit) => UNITS[unit] || `${unit}s`;

export const NAMES = {
  monitored: "Monitored", unmonitored: "Unmonitored", impression_to_chat: "Impression to chat",
  chat_lifecycle: "Chat lifecycle", both: "Both flows",
};
export const nameOf = (funnel) => NAMES[funnel] || plain(funnel);

export const MODES = {
  loose: "Loose: any order", ordered: "Ordered: each step after the one before",
};

const REASONS = {
  never_seen: "next step never happened", never_entered: "never entered",
  only_before_entry: "happened only before the first step", only_before_previous: "happened only before the previous step",
  after_window: "too late for the window", after_gap: "too long after the step before", window_open: "window not over yet",
  only_candidate_used: "its only event serves an earlier step", not_strictly_later: "same instant as the step before",
  excluded_by: "an excluded event ended it", interrupted: "another event came between",
  held_differs: "other values of the held fields", several_rules: "several rules at once", own_rule: "a rule of the mode",
  not_explained: "not explained",
};
const STATES = { dropped: "dropped", open: "still open", converted: "completed" };
const CLASSES = {
  used: "counts", superseded_entry: "earlier beginning", repeat: "repeat", before_entry: "before the beginning",
  out_of_order: "out of order", not_later: "not later", out_of_window: "outside the window", interrupts: "interrupts",
  interrupted: "interrupted", after_completion: "after the end", own_rule: "a rule of the mode", excluded: "excluded", not_explained: "not explained",
  filtered: "filtered", duplicate_id: "duplicate", not_a_step: "no step",
};
const OUTCOMES = {
  interactive: "interactive chat", connected_non_interactive: "connected, nobody wrote", abandoned_in_queue: "left the queue",
  auth_failed: "authentication failed", unavailable_at_recheck: "unavailable at recheck", content_clicked: "content clicked",
  blocked_offline: "clicked, agents offline", blocked_busy: "clicked, agents busy", click_no_request: "clicked, no chat requested",
  declined: "declined", timed_out: "timed out", ignored: "ignored", not_displayed: "not displayed",
  not_available: "not available", in_progress: "in progress",
};

export const plain = (name) => {
  const text = String(name ?? "").replaceAll("_", " ");
  return text ? text[0].toUpperCase() + text.slice(1) : text;
};
const say = (table) => (name) => table[name] || plain(name).toLowerCase();
export const reasonWords = say(REASONS);
export const stateWords = say(STATES);
export const classWords = say(CLASSES);
export const outcomeWords = say(OUTCOMES);
export const agentWords = (state) => (state === "no_click" ? "no click" : state === "unknown" || state === null ? "not known" : state);

// NULL is a value of its own in a breakdown; an empty cell would look like a mistake.
export const valueWords = (value) => (value === null || value === undefined || value === "" ? "(none)" : String(value));

function windowWords(seconds) {
  if (!seconds) return "with no time limit";
  if (seconds % 86400 === 0) return `all within ${seconds / 86400} ${seconds === 86400 ? "day" : "days"}`;
  if (seconds % 3600 === 0) return `all within ${seconds / 3600} ${seconds === 3600 ? "hour" : "hours"}`;
  if (seconds % 60 === 0) return `all within ${seconds / 60} ${seconds === 60 ? "minute" : "minutes"}`;
  return `all within ${seconds} seconds`;
}

function basisWords(basis, many) {
  if (basis === "event_time") return `${many} with events`;
  if (basis === "session_start_and_event_time") return `${many} whose session began, and whose events lie,`;
  return many === "sessions" ? "sessions that began" : `${many} of sessions that began`;
}

// One sentence of what is counted, from what the server says it counted.
export function sentence(header, where, by) {
  const many = units(header.unit);
  const range = header.from === header.to ? `on ${long(header.from)}` : `from ${long(header.from)} to ${long(header.to)}`;
  const steps = header.mode === "ordered"
    ? "a step counts when it came after the steps before it"
    : header.mode === "loose" ? "a step counts when it happened, in whatever order" : `steps are matched in mode ${header.mode}`;
  const parts = [`Counted: ${basisWords(header.date_basis, many)} ${range} (days of ${header.time_zone}) in account ${header.account}, each once; `
    + `${steps}, ${windowWords(header.window_seconds)}.`];
  if (where) parts.push(` Only where \`${where}\`.`);
  if (by) parts.push(` Split by ${by.split(",").map((c) => `\`${c}\``).join(" and ")}.`);
  if (header.attribution) parts.push(` Conversions: ${attributionWords(header.attribution)}.`);
  return parts.join("");
}

function attributionWords(value) {
  if (typeof value === "object") return `${value.model} interaction within ${value.days ?? value.cross_session_days} days`;
  const match = /^(last|first)(?: interaction)?,? ?(\d+) ?d(?:ays)?$/.exec(value);
  return match ? `the ${match[1]} interaction within ${match[2]} days gets them` : String(value);
}
