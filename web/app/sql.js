import { json, paths } from "./api.js";
import { copy, h } from "./dom.js";
import { errorBox } from "./errors.js";

// The statements that give what is shown: each part has a title, the funnel, its parameters, and whose numbers they are (`of`).
export function sqlBox(what, parts) {
  return lazy(`The SQL behind ${what}`, async () => h("div", { class: "sql" },
    await Promise.all(parts.map((part) => statement(part, parts.length > 1)))));
}

async function statement({ title, funnel, params, of = "report" }, titled) {
  const asked = { ...params, of };
  const { sql } = await json(paths.sql(funnel), asked);
  return h("section", { class: "statement" },
    h("div", { class: "statement-head" }, titled ? h("h3", {}, title) : h("span"),
      h("button", { type: "button", class: "quiet", "aria-label": `Copy SQL of ${title}`, onclick: (e) => copy(sql, e.target) }, "Copy SQL")),
    h("pre", { tabindex: "0", "aria-label": `SQL: ${title}` }, h("code", {}, sql)),
    lazy("How it is answered (EXPLAIN)", async () => {
      const { plan } = await json(paths.plan(funnel), asked);
      return h("pre", { class: "plan", tabindex: "0", "aria-label": `Plan: ${title}` }, h("code", {}, plan));
    }));
}

// Asked for only when it is opened: most readers never do.
export function lazy(title, load) {
  const body = h("div", {});
  let asked = false;
  const open = async (event) => {
    if (event.target !== event.currentTarget || !event.target.open || asked) return;
    asked = true;
    body.textContent = "Loading…";
    try {
      body.replaceChildren(await load());
    } catch (error) {
      asked = false;
      body.replaceChildren(errorBox(error));
    }
  };
  return h("details", { class: "lazy", ontoggle: open }, h("summary", {}, title), body);
}
