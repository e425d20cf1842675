import { h } from "./dom.js";
import { json, paths } from "./api.js";
import { num, stamp, NONE } from "./format.js";
import { rejects } from "./lost.js";
import { lazy } from "./sql.js";

// What the numbers rest on: enough to judge them, and to get the same ones again.
export function basis(status, column) {
  const { header } = column;
  const complete = header.completeness || {};
  const account = status.accounts.find((a) => a.account === header.account);
  const entry = (title, ...value) => h("div", { class: title === "Completeness" ? "whole" : null }, h("dt", {}, title), h("dd", {}, ...value));
  return h("div", {},
    h("dl", { class: "facts" },
      entry("Complete until", stamp(status.complete_until)),
      entry("Snapshot", stamp(status.snapshot_at)),
      entry("Counted as of", stamp(header.as_of)),
      complete.text && entry("Completeness", complete.text),
      entry("Events in the account", account ? num(account.events) : NONE),
      entry("Refused records", account ? num(account.rejects) : NONE),
      entry("Ledger of Kafka’s offsets", ledger()),
      entry("Definition", h("code", {}, `${header.funnel} ${header.definition_hash}`)),
      entry("Lake", h("code", {}, status.lake)),
      entry("Version", status.version)),
    lazy("Why records were refused", async () => rejects((await json(paths.query("rejects_summary"))).rows)));
}

// Whether every offset that was read has one fate; only those who run the lake see its ledger.
function ledger() {
  const said = h("span", { class: "waiting" }, "…");
  const say = (words) => { said.textContent = words; said.className = ""; };
  json(paths.query("ledger_summary")).then(({ rows }) => {
    const open = rows.filter((row) => !row.closes).map((row) => `${row.kafka_topic}/${row.kafka_partition}`);
    if (!rows.length) say("empty");
    else say(open.length ? `does not close: ${open.join(", ")}` : "closes: every offset read has one fate");
  }, () => say("not shown to this token"));
  return said;
}
