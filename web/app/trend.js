import { h, s } from "./dom.js";
import { num, pct, short, long } from "./format.js";
import { set } from "./state.js";
import { table } from "./table.js";

const HEIGHT = 220, LEFT = 44, RIGHT = 10, TOP = 14, BOTTOM = 26;
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1];
const ceiling = (rate) => STEPS.find((step) => step >= rate) || 1;

// Where things go at one width; text keeps its size at every width.
function plan(rows, width) {
  const n = rows.length;
  const edge = Math.min(16, (width - LEFT - RIGHT) / n / 2);
  return {
    n, width,
    top: ceiling(Math.max(0, ...rows.map((row) => row.rate ?? 0))),
    most: Math.max(1, ...rows.map((row) => row.entered)),
    x: (i) => (n === 1 ? (LEFT + width - RIGHT) / 2 : LEFT + edge + (i * (width - LEFT - RIGHT - 2 * edge)) / (n - 1)),
    y: (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM),
  };
}

export function trend(column, rows, every) {
  if (!rows.length) return h("p", { class: "empty" }, "Nobody entered in this range.");
  const reading = h("p", { class: "reading" });
  const cursor = s("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
  const dot = s("circle", { class: "dot", r: 4 });
  const picture = s("svg", { role: "slider", tabindex: "0", height: HEIGHT, "aria-label": `${column.title}: conversion per ${every}; arrow keys move along the ${every}s`,
    "aria-valuemin": 0, "aria-valuemax": rows.length - 1 });
  // The last complete day on which somebody came is the one worth reading first.
  const whole = rows.findLastIndex((row) => !row.incomplete && row.entered > 0);
  let at = whole < 0 ? rows.length - 1 : whole;
  let p = plan(rows, 600);
  function show(i) {
    at = Math.max(0, Math.min(rows.length - 1, i));
    const words = dayWords(rows[at], column.header.time_zone, every);
    reading.textContent = words;
    picture.setAttribute("aria-valuenow", at);
    picture.setAttribute("aria-valuetext", words);
    cursor.setAttribute("x1", p.x(at));
    cursor.setAttribute("x2", p.x(at));
    dot.setAttribute("cx", p.x(at));
    dot.setAttribute("cy", p.y((rows[at].rate ?? 0) / p.top));
  }
  function draw(width) {
    p = plan(rows, width);
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    picture.replaceChildren(...[axis(rows, p), volume(rows, p), lines(rows, p), cursor, dot].flat(3).filter(Boolean));
    show(at);
  }
  draw(600);
  new ResizeObserver(([entry]) => { if (entry.contentRect.width > 0) draw(Math.round(entry.contentRect.width)); }).observe(picture);
  picture.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowUp: at + 1, Home: 0, End: rows.length - 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    show(move);
  });
  picture.addEventListener("pointermove", (event) => show(nearest(event.clientX - picture.getBoundingClientRect().left, p)));
  return h("figure", { class: "trend" },
    everySwitch(every), reading, picture, legend(rows, p, every),
    h("details", {}, h("summary", {}, "Numbers as a table"), daysTable(column, rows, every)));
}

function everySwitch(every) {
  const option = (value) => h("button", { type: "button", "aria-pressed": String(every === value), onclick: () => set({ every: value === "day" ? null : value }) },
    value[0].toUpperCase() + value.slice(1));
  return h("div", { class: "switch", role: "group", "aria-label": "Periods" }, ["day", "week", "month"].map(option));
}

function dayWords(row, zone, every) {
  return `${every === "day" ? "" : every === "week" ? "week from " : "month from "}${long(row.day)} (${zone}): ${pct(row.rate)} (${num(row.converted)} of ${num(row.entered)})`
    + (row.open ? `, ${num(row.open)} still open` : "") + (row.incomplete ? ", incomplete" : "");
}

function nearest(px, p) {
  let best = 0;
  for (let i = 1; i < p.n; i += 1) if (Math.abs(p.x(i) - px) < Math.abs(p.x(best) - px)) best = i;
  return best;
}

function axis(rows, p) {
  const marks = [0, 0.5, 1].map((share) => [
    s("line", { class: "grid", x1: LEFT, x2: p.width - RIGHT, y1: p.y(share), y2: p.y(share) }),
    s("text", { class: "tick", x: LEFT - 6, y: p.y(share) + 4, "text-anchor": "end" }, pct(p.top * share).replace(/[.,]0/, "")),
  ]);
  const every = Math.max(1, Math.ceil(p.n / Math.max(2, Math.floor(p.width / 85))));
  const days = rows.map((row, i) => (i % every === 0
    ? s("text", { class: "tick", x: p.x(i), y: HEIGHT - 8, "text-anchor": "middle" }, short(row.day)) : null));
  return [marks, days];
}

// The volume takes the lower half, so that it never competes with the line.
function volume(rows, p) {
  const width = Math.max(1, Math.min(26, ((p.width - LEFT - RIGHT) / p.n) * 0.62));
  return s("g", { class: "volume" }, rows.map((row, i) => {
    const height = (row.entered / p.most) * 0.45 * (HEIGHT - TOP - BOTTOM);
    return s("rect", { x: p.x(i) - width / 2, width, y: HEIGHT - BOTTOM - height, height });
  }));
}

const known = (row) => row && row.rate !== null && row.rate !== undefined;

function lines(rows, p) {
  const end = (i) => [p.x(i), p.y(rows[i].rate / p.top)];
  return rows.map((row, i) => {
    if (!known(row)) return null;
    const [cx, cy] = end(i);
    const next = known(rows[i + 1]) && end(i + 1);
    const open = next && (row.incomplete || rows[i + 1].incomplete);
    return [next && s("line", { class: open ? "line incomplete" : "line", x1: cx, y1: cy, x2: next[0], y2: next[1] }),
      s("circle", { class: row.incomplete ? "point incomplete" : "point", cx, cy, r: p.n > 45 ? 1.6 : 2.8 })];
  });
}

function legend(rows, p, every) {
  return h("figcaption", { class: "legend" },
    h("span", { class: "leg line-leg" }, "conversion"),
    rows.some((row) => row.incomplete) && h("span", { class: "leg dash-leg" }, "incomplete: can still rise"),
    h("span", { class: "leg bar-leg" }, `entered, up to ${num(p.most)} a ${every}`));
}

function daysTable(column, rows, every) {
  return table(`Conversion per ${every} of ${column.title}`, [
    { key: "day", title: `${every === "day" ? "Day" : "From"} (${column.header.time_zone})`, cell: (row) => row.day },
    { key: "entered", title: "Entered", number: true, cell: (row) => num(row.entered) },
    { key: "converted", title: "Converted", number: true, cell: (row) => num(row.converted) },
    { key: "rate", title: "Rate", number: true, cell: (row) => pct(row.rate) },
    { key: "open", title: "Open", number: true, cell: (row) => num(row.open) },
    { key: "incomplete", title: "State", sort: false, cell: (row) => (row.incomplete ? "incomplete" : "") },
  ], rows);
}
