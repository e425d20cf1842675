import { $, h } from "./dom.js";
import { addDays } from "./format.js";
import { read, set } from "./state.js";
import { MODES, units } from "./words.js";
import { TOP } from "./breakdown.js";

const COLUMNS = ["flow", "device_family", "os", "browser", "country_code", "language", "campaign_id", "engagement_id", "engagement_name",
  "skill_id", "skill_name", "lob_id", "goal_id", "entry_point", "marketing_channel", "marketing_campaign", "new_vs_returning",
  "control_group", "customer_type", "section", "is_authenticated", "conversation_type"];
const WINDOWS = [["", "as defined"], ["unbounded", "unbounded"], ["10m", "10 minutes"], ["30m", "30 minutes"], ["1h", "1 hour"],
  ["6h", "6 hours"], ["1 day", "1 day"], ["7 days", "7 days"], ["31 days", "31 days"]];
const BASES = [["", "session began in the range"], ["event-time", "event lies in the range"], ["session-start-and-event-time", "both"]];
const MODELS = [["", "last, 31 days"], ["last,7d", "last, 7 days"], ["first,31d", "first, 31 days"], ["first,7d", "first, 7 days"]];

const COMPARED = [["", "nothing"], ["previous", "the period before"]];

const TOPS = [["5", "5 largest"], ["", `${TOP} largest`], ["25", "25 largest"], ["100", "100 largest"], ["all", "all"]];

const later = (a, b) => (a > b ? a : b);

// Ranges end with the last day that is over, so that a day under way does not look like a loss.
export function presets(account) {
  const to = account.last_whole_day || account.last_day;
  const back = (days) => ({ from: later(addDays(to, 1 - days), account.first_day), to });
  return [["1", "Last whole day", back(1)], ["7", "Last 7 days", back(7)], ["28", "Last 28 days", back(28)], ["90", "Last 90 days", back(90)],
    ["all", "All data", { from: account.first_day, to: account.last_day }]];
}

export function draw(state, status, funnel) {
  const form = $("controls");
  const account = status.accounts.find((a) => a.account === state.account) || status.accounts[0];
  const focused = form.contains(document.activeElement) ? document.activeElement.name : null;
  const more = form.querySelector("details");
  const ready = presets(account);
  // The longest range of those that came out the same is no other choice.
  const current = ready.find(([, , range]) => range.from === state.from && range.to === state.to);
  const where = field("where", "Only where", h("input", { name: "where", value: state.where || "", placeholder: "device_family = 'MOBILE'", spellcheck: "false", autocomplete: "off", class: "code" }), "grow");
  form.replaceChildren(...[
    h("div", { class: "control-row" },
      status.accounts.length > 1
        ? choose("account", "Account", status.accounts.map((a) => [a.account, a.account]), state.account)
        : h("div", { class: "field" }, h("span", {}, "Account"), h("output", {}, account.account)),
      choose("preset", `Range (${state.timezone || account.time_zone})`, [...ready.map(([id, words]) => [id, words]), ["custom", "Custom"]], current ? current[0] : "custom"),
      field("from", "From", h("input", { type: "date", name: "from", value: state.from, required: true })),
      field("to", "To", h("input", { type: "date", name: "to", value: state.to, required: true })),
      choose("compare", "Compare with", COMPARED, state.compare),
      state.funnel === "both" && where),
    state.funnel !== "both" && h("div", { class: "control-row" },
      suggest("by", "Break down by", state.by, "nothing", COLUMNS),
      state.by && choose("top", "Values shown", withCurrent(TOPS, state.top), state.top), where),
    moreControls(state, account, funnel, more ? more.open : undefined)].filter(Boolean));
  if (focused) form.elements[focused]?.focus();
}

function moreControls(state, account, funnel, open) {
  const changed = ["unit", "mode", "window", "timezone", "date_basis", "attribution"].filter((name) => state[name]);
  const modes = new Set(["loose", "ordered", funnel.mode, state.mode].filter(Boolean));
  return h("details", { class: "more", open: open ?? changed.length > 0 },
    h("summary", {}, "How it is counted", changed.length > 0 && h("span", { class: "badge" }, `${changed.length} changed`)),
    h("div", { class: "control-row" },
      choose("unit", "Unit", [["", `${units(funnel.unit)} (default)`], ...funnel.units.filter((u) => u !== funnel.unit).map((u) => [u, units(u)])], state.unit),
      choose("mode", "Order", [["", `${funnel.mode} (default)`], ...[...modes].filter((m) => m !== funnel.mode).map((m) => [m, MODES[m] || m])], state.mode),
      choose("window", "Window", withCurrent(WINDOWS, state.window), state.window),
      suggest("timezone", "Time zone", state.timezone, account.time_zone || "account’s", ["UTC", account.time_zone, Intl.DateTimeFormat().resolvedOptions().timeZone]),
      choose("date_basis", "Days are those when", withCurrent(BASES, state.date_basis), state.date_basis),
      choose("attribution", "Conversions go to", withCurrent(MODELS, state.attribution), state.attribution)));
}

const withCurrent = (list, value) => (!value || list.some(([v]) => v === value) ? list : [...list, [value, value]]);

const field = (name, words, input, extra = "") => h("label", { class: `field ${extra}` }, h("span", {}, words), input);

function choose(name, words, list, value) {
  return field(name, words, h("select", { name }, list.map(([v, text]) => h("option", { value: v, selected: v === (value || "") }, text))));
}

function suggest(name, words, value, placeholder, list) {
  const id = `list-${name}`;
  return field(name, words, [h("input", { name, value: value || "", placeholder, list: id, autocomplete: "off", spellcheck: "false" }),
    h("datalist", { id }, [...new Set(list.filter(Boolean))].map((v) => h("option", { value: v })))]);
}

export function setUp(status) {
  const form = $("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    const { name, value } = event.target;
    if (!name || !event.target.checkValidity()) return;
    if (name === "preset") return pickRange(status, value);
    const patch = { [name]: value.trim() || null, level: null, state: null, reason: null, key: null, sort: name === "by" ? null : read().sort };
    if (name === "by") patch.by = value.split(",").map((c) => c.trim()).filter(Boolean).join(",") || null;
    if (name === "account") Object.assign(patch, presets(status.accounts.find((a) => a.account === value))[2][2]);
    if (name === "from" && value > read().to) patch.to = value;
    if (name === "to" && value < read().from) patch.from = value;
    set(patch);
  });
  // Enter in a text field applies it without leaving the field.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.tagName === "INPUT") {
      event.preventDefault();
      event.target.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
}

function pickRange(status, id) {
  const account = status.accounts.find((a) => a.account === read().account) || status.accounts[0];
  const found = presets(account).find(([name]) => name === id);
  if (found) set(found[2]);
  else $("controls").elements.from.focus();
}
