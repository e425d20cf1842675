import { h, s } from "./dom.js";
import { num, dur } from "./format.js";

const W = 240, H = 56;

// Small multiples on their own scales: steps differ by orders of magnitude.
export function times(column) {
  const rows = [...column.rows].sort((a, b) => a.step_index - b.step_index).slice(0, -1)
    .filter((row) => Array.isArray(row.histogram) && row.histogram.length && row.p50_seconds_to_next !== null);
  if (!rows.length) return h("p", { class: "empty" }, "Nobody went from one step to the next.");
  const list = h("ol", { class: "times" }, rows.map((row) => h("li", {},
    h("h3", {}, "after ", row.title),
    row.max_seconds_to_next > row.min_seconds_to_next ? histogram(row) : h("p", { class: "flat" }, row.max_seconds_to_next > 0 ? `all after ${dur(row.max_seconds_to_next)}` : "all at once"),
    h("dl", {}, mark("p50", row.p50_seconds_to_next), mark("p90", row.p90_seconds_to_next), mark("p99", row.p99_seconds_to_next)))));
  return h("div", {}, list, h("p", { class: "note" }, "Solid line: p50, half took no longer. Dashed: p90. Each picture has a scale of its own."));
}

const mark = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, dur(value)));

// The ranges are equally wide as drawn: they are on a scale of the server's, on which seconds and days have a place.
function histogram(row) {
  const { histogram: counts, histogram_edges: edges } = row;
  const most = Math.max(1, ...counts);
  const width = W / counts.length;
  const bars = counts.map((count, i) => {
    const height = count ? Math.max(2, (count / most) * (H - 4)) : 0;
    return s("rect", { class: "hist", x: i * width + 0.5, width: Math.max(1, width - 1), y: H - height, height },
      s("title", {}, `${num(count)} took ${dur(edges[i])} to ${dur(edges[i + 1])}`));
  });
  const place = (value) => {
    const i = Math.max(0, Math.min(counts.length - 1, edges.findLastIndex((edge) => edge <= value)));
    return Math.max(0.5, Math.min(W - 0.5, (i + (value - edges[i]) / (edges[i + 1] - edges[i])) * width));
  };
  const lines = ["p50", "p90"].map((name) => {
    const at = place(row[`${name}_seconds_to_next`]);
    return s("line", { class: `mark ${name}`, x1: at, x2: at, y1: 0, y2: H });
  });
  const words = `Time after ${row.title}: ${counts.map((count, i) => `${num(count)} up to ${dur(edges[i + 1])}`).join(", ")}; the shortest ${dur(edges[0])}`;
  return h("div", { class: "histogram" },
    s("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": words }, bars, lines),
    h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, dur(edges[0])),
      counts.length % 2 === 0 && h("span", {}, dur(edges[Math.floor(counts.length / 2)])), h("span", {}, dur(edges[edges.length - 1]))));
}
