import { blob, paths } from "./api.js";
import { announce, download, h } from "./dom.js";
import { errorBox } from "./errors.js";
import { num, pct } from "./format.js";

const fileName = (funnel, params, end) => `funnel-${funnel}-${params.from}-${params.to}.${end}`;

// A button that saves something, and says in its card when it could not.
export function save(words, what, work) {
  const onclick = async (event) => {
    const button = event.currentTarget;
    try {
      await work();
      announce("Saved");
    } catch (error) {
      button.closest(".card, .drawer-in").prepend(errorBox(error));
    }
  };
  return h("button", { type: "button", class: "quiet", onclick }, words, h("span", { class: "sr-only" }, ` of ${what}`));
}

const FORMS = { CSV: "csv_safe", Parquet: "parquet", JSON: "json" };

// A button for each form of the rows at `path`. The bytes are the server's: the page adds nothing and rounds nothing.
export function saveRows(words, what, path, name, params) {
  return words.map((form) => save(form, what, async () =>
    download(await blob(path, { ...params, format: FORMS[form] }), fileName(name, params, form.toLowerCase()))));
}

// A custom property comes back as it was written, light-dark() and all; a colour comes back resolved.
function color(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const LEFT = 270, WIDE = 540;

// Drawn by hand: the content policy forbids the detour over an image of the SVG.
export function png(column, title, sub) {
  const rows = [...column.rows].sort((a, b) => a.step_index - b.step_index);
  const width = 1120, line = 44, top = 96;
  const height = top + rows.length * line + 36;
  const canvas = document.createElement("canvas");
  canvas.width = width * 2;
  canvas.height = height * 2;
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.fillStyle = color("--card");
  pen.fillRect(0, 0, width, height);
  const text = (words, left, at, font, ink, align = "left") => {
    pen.font = `${font} system-ui, sans-serif`;
    pen.fillStyle = color(ink);
    pen.textAlign = align;
    pen.fillText(words, left, at, align === "left" ? width - left - 24 : undefined);
  };
  text(title, 24, 38, "600 20px", "--ink");
  text(sub, 24, 62, "13px", "--soft");
  for (const [words, right] of [["Reached", 900], ["of previous", 995], ["of first", 1096]]) text(words, right, 84, "12px", "--soft", "right");
  const scale = Math.max(1, ...rows.map((row) => row.reached));
  rows.forEach((row, i) => {
    const at = top + i * line;
    text(`${row.step_index}`, 24, at + 20, "13px", "--soft");
    text(row.title + (row.optional ? " (optional)" : ""), 48, at + 20, "500 14px", "--ink");
    pen.fillStyle = color("--track");
    pen.fillRect(LEFT, at + 4, WIDE, 24);
    pen.fillStyle = color("--lost");
    if (row.previous > row.reached) pen.fillRect(LEFT, at + 4, Math.min(WIDE, (WIDE * row.previous) / scale), 24);
    pen.fillStyle = color("--accent");
    if (row.reached > 0) pen.fillRect(LEFT, at + 4, Math.max(2, (WIDE * row.reached) / scale), 24);
    text(num(row.reached), 900, at + 21, "600 14px", "--ink", "right");
    if (i) text(pct(row.rate_from_previous), 995, at + 21, "14px", "--ink", "right");
    text(pct(row.rate_from_first), 1096, at + 21, "14px", "--ink", "right");
  });
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

export async function savePng(column, title, sub) {
  download(await png(column, title, sub), fileName(column.funnel, column.params, "png"));
}

const DRAW = {
  rect(pen, at, style) {
    pen.fillStyle = style.fill;
    pen.fillRect(at("x"), at("y"), at("width"), at("height"));
  },
  line(pen, at, style) {
    pen.strokeStyle = style.stroke;
    pen.lineWidth = parseFloat(style.strokeWidth) || 1;
    pen.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(/[ ,]+/).map(parseFloat));
    pen.beginPath();
    pen.moveTo(at("x1"), at("y1"));
    pen.lineTo(at("x2"), at("y2"));
    pen.stroke();
  },
  circle(pen, at, style) {
    pen.beginPath();
    pen.arc(at("cx"), at("cy"), at("r"), 0, 2 * Math.PI);
    pen.fillStyle = style.fill;
    pen.fill();
    pen.setLineDash([]);
    pen.strokeStyle = style.stroke === "none" ? style.fill : style.stroke;
    pen.stroke();
  },
  text(pen, at, style, node) {
    pen.font = `${style.fontSize} system-ui, sans-serif`;
    pen.fillStyle = style.fill;
    pen.textAlign = { middle: "center", end: "right" }[node.getAttribute("text-anchor")] || "left";
    pen.fillText(node.textContent, at("x"), at("y"));
  },
};

function canvasOf(width, height, title) {
  const canvas = h("canvas", { width: width * 2, height: height * 2 });
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.fillStyle = color("--card");
  pen.fillRect(0, 0, width, height);
  pen.font = "600 14px system-ui, sans-serif";
  pen.fillStyle = color("--ink");
  pen.fillText(title, 12, 24, width - 24);
  return [canvas, pen];
}

// The shapes as they stand on the page, without the cursor.
function shapes(pen, svg) {
  pen.save();
  for (const node of svg.querySelectorAll("rect, line, circle, text")) {
    if (node.matches(".cursor, .dot")) continue;
    pen.globalAlpha = Number(getComputedStyle(node).opacity);
    DRAW[node.localName](pen, (key) => Number(node.getAttribute(key) || 0), getComputedStyle(node), node);
  }
  pen.restore();
}

async function saveCanvas(canvas, column, name) {
  const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  download(blob, fileName(`${column.funnel}-${name}`, column.params, "png"));
}

export async function savePicture(svg, column, name, title) {
  if (!svg) throw new Error("There is nothing to draw yet.");
  const { width, height } = svg.viewBox.baseVal;
  const [canvas, pen] = canvasOf(width, height + 40, title);
  pen.translate(0, 36);
  shapes(pen, svg);
  await saveCanvas(canvas, column, name);
}

const CELL = { width: 340, height: 158, pad: 20, bars: 72 };

// The histograms in a grid of their own, whatever the width of the page is.
export async function saveTimes(list, column, title) {
  const cells = [...list.querySelectorAll("li")];
  if (!cells.length) throw new Error("There is nothing to draw.");
  const across = Math.min(3, cells.length);
  const [canvas, pen] = canvasOf(across * CELL.width, 48 + Math.ceil(cells.length / across) * CELL.height, title);
  cells.forEach((cell, i) => {
    pen.save();
    pen.translate((i % across) * CELL.width + CELL.pad, 48 + Math.floor(i / across) * CELL.height);
    timesCell(pen, cell, CELL.width - 2 * CELL.pad);
    pen.restore();
  });
  await saveCanvas(canvas, column, "times");
}

function timesCell(pen, cell, width) {
  const write = (words, x, y, ink, align = "left", font = "12px") => {
    pen.font = `${font} system-ui, sans-serif`;
    pen.fillStyle = color(ink);
    pen.textAlign = align;
    pen.fillText(words, x, y, width);
  };
  const foot = 22 + CELL.bars;
  write(cell.querySelector("h3").textContent, 0, 12, "--ink", "left", "600 13px");
  pen.fillStyle = color("--edge");
  pen.fillRect(0, foot, width, 1);
  const svg = cell.querySelector("svg");
  if (svg) {
    pen.save();
    pen.translate(0, 22);
    pen.scale(width / svg.viewBox.baseVal.width, CELL.bars / svg.viewBox.baseVal.height);
    shapes(pen, svg);
    pen.restore();
  } else write(cell.querySelector(".flat").textContent, width / 2, foot - CELL.bars / 2, "--soft", "center");
  const ends = [...cell.querySelectorAll(".ends span")];
  ends.forEach((end, i) => write(end.textContent, (width * i) / Math.max(1, ends.length - 1), foot + 16, "--soft", ["left", "center", "right"][ends.length === 2 && i ? 2 : i]));
  [...cell.querySelectorAll("dl > div")].forEach((mark, i) => {
    write(mark.querySelector("dt").textContent, (width * i) / 3, foot + 36, "--soft");
    write(mark.querySelector("dd").textContent, (width * i) / 3, foot + 52, "--ink");
  });
}
