import { h, ticks } from "./dom.js";
import { stamp } from "./format.js";
import { classWords, outcomeWords, reasonWords } from "./words.js";

// The verdict may come as a sentence or as its parts; both are said the same way.
export function verdict(answer, steps) {
  const v = { ...(answer.rows[0] || {}), ...(typeof answer.verdict === "object" ? answer.verdict : { text: answer.verdict }) };
  const title = (name) => steps.find((step) => step.name === name)?.title || name;
  const lines = [];
  if (v.level_step) lines.push(h("p", {}, "Reached ", h("b", {}, title(v.level_step)), v.level ? `, step ${v.level} of ${steps.length}.` : "."));
  else if (v.level === 0) lines.push(h("p", {}, "Never entered this funnel."));
  const because = v.text || v.reason_text;
  if (v.missing_step) lines.push(h("p", {}, "No further, because ", because ? ticks(because) : `${title(v.missing_step)}: ${reasonWords(v.reason)}`, "."));
  else if (because) lines.push(h("p", {}, ticks(because)));
  else if (v.level) lines.push(h("p", {}, "Nothing is missing."));
  if (v.needed) lines.push(h("p", {}, "Needed: ", ticks(v.needed), "."));
  if (v.offer_outcome) lines.push(h("p", {}, "The offer: ", h("b", {}, outcomeWords(v.offer_outcome)), v.means || v.outcome_text ? ` (${v.means || v.outcome_text})` : "", "."));
  return h("div", { class: "verdict" }, lines);
}

export function timeline(answer) {
  if (!answer.rows.length) return h("p", { class: "empty" }, "No row of this key lies in the range.");
  let day = "";
  const items = answer.rows.map((row) => {
    const [date, time] = String(row.local_time || stamp(row.event_time)).split(" ");
    const head = date !== day && h("li", { class: "day" }, date);
    day = date;
    return [head, event(row, time)];
  });
  return h("div", {},
    h("p", { class: "note" }, `Times in ${answer.time_zone || answer.rows[0].time_zone || "the account’s time zone"}.`),
    h("ol", { class: "timeline" }, items));
}

function event(row, time) {
  const place = row.kafka_topic ? `${row.kafka_topic} / ${row.kafka_partition} / ${row.kafka_offset}` : null;
  return h("li", { class: row.class === "used" ? "event used" : "event", "data-row": row.row },
    h("time", { datetime: row.event_time, title: row.event_time }, time),
    h("div", {},
      h("p", { class: "what" }, h("b", {}, row.event_type), h("span", { class: "badge" }, classWords(row.class))),
      h("p", { class: "decision" }, ticks(row.decision)),
      h("p", { class: "where" }, h("span", { title: "Event id" }, row.event_id),
        place && h("span", { title: "Kafka topic / partition / offset" }, place))));
}
