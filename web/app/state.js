// All that the page shows follows from the query string: nothing is kept anywhere else.
const COUNTED = ["account", "from", "to", "unit", "mode", "window", "timezone", "where", "date_basis", "attribution"];
const VIEW = ["funnel", "steps", "by", "top", "basis", "compare", "every", "sort", "theme"];
const DRILL = ["flow", "level", "state", "reason", "key"];
const ALL = [...VIEW, ...COUNTED, ...DRILL];

const listeners = new Set();

export function read(search = location.search) {
  const query = new URLSearchParams(search);
  const state = {};
  for (const name of ALL) if (query.get(name)) state[name] = query.get(name);
  return state;
}

export function href(state, patch = {}) {
  const query = new URLSearchParams();
  const merged = { ...state, ...patch };
  for (const name of ALL) if (merged[name]) query.set(name, merged[name]);
  return `?${query}`;
}

export function set(patch, { replace = false } = {}) {
  const next = href(read(), patch);
  if (next === location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  for (const listener of listeners) listener(read());
}

export const noDrill = () => Object.fromEntries(DRILL.map((name) => [name, null]));

export function onChange(listener) {
  listeners.add(listener);
  addEventListener("popstate", () => listener(read()));
}

export function counted(state) {
  const params = {};
  for (const name of COUNTED) if (state[name]) params[name] = state[name];
  return params;
}

// What the numbers of the page depend on; the rest of the state only changes how they are shown.
export function dataKey(state) {
  return JSON.stringify([counted(state), state.funnel, state.by, state.top, state.steps, state.compare, state.every]);
}

// Plain left clicks stay in the page; with a modifier the browser opens a tab of its own.
export function follow(event, patch) {
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  set(patch);
}
