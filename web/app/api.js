const BASE = "api/v1/";
const TOKEN = "funnel-token";

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.title = body.title || "Error";
    this.requestId = body.request_id || null;
  }
}

export const keepToken = (token) => sessionStorage.setItem(TOKEN, token);

export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return BASE + path + (text ? `?${text}` : "");
}

async function request(path, params, signal) {
  const token = sessionStorage.getItem(TOKEN);
  let answer;
  try {
    answer = await fetch(address(path, params), {
      signal, credentials: "same-origin",
      headers: token ? { Authorization: `Bearer ${token}` } : {},
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "No answer", detail: "The server did not answer. Is it still running, and is the network up?" });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  if (!body.request_id) body.request_id = answer.headers.get("x-request-id");
  throw new Problem(answer.status, body);
}

export const json = async (path, params, signal) => (await request(path, params, signal)).json();
export const blob = async (path, params, signal) => (await request(path, params, signal)).blob();

const part = encodeURIComponent;
export const paths = {
  report: (funnel) => `funnels/${part(funnel)}/report`,
  keys: (funnel) => `funnels/${part(funnel)}/keys`,
  losses: (funnel) => `funnels/${part(funnel)}/losses`,
  availability: (funnel) => `funnels/${part(funnel)}/availability`,
  comparison: (funnel) => `funnels/${part(funnel)}/comparison`,
  trend: (funnel) => `funnels/${part(funnel)}/trend`,
  sql: (funnel) => `funnels/${part(funnel)}/sql`,
  plan: (funnel) => `funnels/${part(funnel)}/plan`,
  explain: (funnel, key) => `funnels/${part(funnel)}/explain/${part(key)}`,
  query: (name) => `queries/${part(name)}`,
};
