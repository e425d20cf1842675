import { h, $ } from "./dom.js";
import { keepToken } from "./api.js";

export function errorBox(problem, retry) {
  return h("div", { class: "error", role: "alert" },
    h("h3", {}, problem.title || "Something went wrong"),
    h("p", {}, problem.message),
    problem.requestId && h("p", { class: "soft" }, "Request ", h("code", {}, problem.requestId)),
    retry && h("button", { type: "button", onclick: retry }, "Try again"));
}

export function askToken(problem, done) {
  const box = $("token-box");
  const input = h("input", { type: "password", id: "token", name: "token", autocomplete: "off", required: true, spellcheck: "false" });
  const submit = (event) => {
    event.preventDefault();
    keepToken(input.value.trim());
    box.close();
    done();
  };
  box.replaceChildren(h("form", { onsubmit: submit },
    h("h2", { id: "token-title" }, "Access token"),
    h("p", {}, problem.message),
    h("label", { class: "field" }, h("span", {}, "Token"), input),
    h("p", { class: "soft" }, "Kept in this tab only, and forgotten when it closes."),
    h("button", { type: "submit", class: "primary" }, "Continue")));
  if (!box.open) box.showModal();
  input.focus();
}
