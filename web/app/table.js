import { h } from "./dom.js";

// columns: [{ key, title, number, sort, cell(row) }]; `options.total` is a row that stays below all others; those for which
// `options.last(row)` is true stand above it, whatever the order.
export function table(caption, columns, rows, options = {}) {
  let sort = options.sort || null;
  let limit = options.limit || rows.length;
  const body = h("tbody");
  const heads = columns.map((column) => headCell(column, () => {
    sort = { key: column.key, down: sort?.key === column.key ? !sort.down : Boolean(column.number) };
    options.onSort?.(sort);
    draw();
  }));
  const more = h("button", { type: "button", class: "quiet", onclick: () => { limit = rows.length; draw(); body.querySelector("a,button")?.focus(); } });
  function draw() {
    const shown = sorted(rows, columns, sort, options.last).slice(0, limit);
    body.replaceChildren(...shown.map((row) => bodyRow(columns, row, options)));
    columns.forEach((column, i) => {
      const on = sort?.key === column.key;
      if (on) heads[i].setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else heads[i].removeAttribute("aria-sort");
    });
    more.hidden = limit >= rows.length;
    more.textContent = `Show all ${rows.length}`;
  }
  draw();
  const region = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: options.class }, h("caption", { class: options.showCaption ? null : "sr-only" }, caption),
      h("thead", {}, h("tr", {}, heads)), body,
      options.total && h("tfoot", {}, bodyRow(columns, options.total, options))));
  return h("div", { class: "table" }, region, more);
}

function headCell(column, onclick) {
  const label = column.sort === false ? column.title : h("button", { type: "button", class: "sort", onclick }, column.title);
  return h("th", { scope: "col", class: column.number ? "n" : null, title: column.hint }, label);
}

function bodyRow(columns, row, options) {
  return h("tr", { class: options.rowClass?.(row) }, columns.map((column, i) =>
    h(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: column.number ? "n" : null }, column.cell(row))));
}

function sorted(rows, columns, sort, last = () => false) {
  const column = sort && columns.find((c) => c.key === sort.key);
  if (!column) return rows;
  const value = column.value || ((row) => row[column.key]);
  return [...rows].sort((a, b) => last(a) - last(b) || compare(value(a), value(b)) * (sort.down ? -1 : 1));
}

function compare(a, b) {
  const none = (v) => v === null || v === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}
