import { h } from "./dom.js";
import { num, pct } from "./format.js";
import { agentWords, outcomeWords, nameOf, plain } from "./words.js";
import { table } from "./table.js";

const KNOWN = new Set(["account_id", "flow", "state_at_impression", "state_at_click", "offer_outcome", "losses", "reachable_losses", "stale_state",
  "all_exposures", "reachable_exposures", "share_of_all", "share_of_reachable"]);

const agent = (state) => h("span", { class: `agent ${state || "unknown"}` }, agentWords(state));

// What became of lost offers, and what the agents were when they were shown and clicked.
export function availability(rows, title) {
  if (!rows.length) return h("p", { class: "empty" }, "No offer was lost in this range.");
  const flows = new Set(rows.map((row) => row.flow));
  const most = Math.max(1, ...rows.map((row) => row.losses));
  const number = (key, name, hint, format = num) => ({ key, title: name, hint, number: true, cell: (row) => format(row[key]) });
  const extra = Object.keys(rows[0]).filter((key) => !KNOWN.has(key));
  return h("div", {}, table(`Lost offers of ${title} by outcome and agents' state`, [
    { key: "offer_outcome", title: "Outcome", cell: (row) => outcomeWords(row.offer_outcome) },
    flows.size > 1 && { key: "flow", title: "Flow", cell: (row) => nameOf(row.flow) },
    { key: "state_at_impression", title: "Agents when shown", cell: (row) => agent(row.state_at_impression) },
    { key: "state_at_click", title: "when clicked", cell: (row) => agent(row.state_at_click) },
    { key: "losses", title: "Lost", number: true, cell: (row) => h("span", { class: "meter" },
      h("i", { style: { width: `${(100 * row.losses) / most}%` }, "aria-hidden": "true" }), h("b", {}, num(row.losses))) },
    number("share_of_all", "of all shown", "Of all offers that were shown", pct),
    number("share_of_reachable", "of reachable", "Of offers shown while agents were online", pct),
    number("stale_state", "Stale", "Shown so long before the click that its state was no longer true"),
    ...extra.map((key) => ({ key, title: plain(key), number: typeof rows[0][key] === "number", cell: (row) => (typeof row[key] === "number" ? num(row[key]) : String(row[key] ?? "")) })),
  ].filter(Boolean), rows, { limit: 10, sort: { key: "losses", down: true }, class: "wide" }),
    h("p", { class: "note" }, "All offers of the sessions that began on these days, whatever the filter, the unit and the order of the funnel above."));
}

export function rejects(rows) {
  if (!rows.length) return h("p", { class: "empty" }, "Nothing was refused.");
  return table("Refused records by reason", [
    { key: "reason_code", title: "Reason", cell: (row) => h("code", {}, row.reason_code) },
    { key: "kafka_topic", title: "Topic", cell: (row) => row.kafka_topic ?? "" },
    { key: "rejects", title: "Records", number: true, cell: (row) => num(row.rejects) },
    { key: "example_detail", title: "Example", sort: false, cell: (row) => h("span", { class: "example" }, row.example_detail ?? "") },
  ], rows, { limit: 10, sort: { key: "rejects", down: true } });
}
