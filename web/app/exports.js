import { blob, paths } from "./api.js";
import { download } from "./dom.js";
import { num, pct } from "./format.js";

const fileName = (funnel, params, end) => `funnel-${funnel}-${params.from}-${params.to}.${end}`;

// The bytes are the server's: the page adds nothing and rounds nothing.
export async function rows(funnel, params, format) {
  download(await blob(paths.report(funnel), { ...params, format }), fileName(funnel, params, format));
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
