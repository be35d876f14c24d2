// The service's JSON. Addresses are relative: the page may stand behind a prefix.

export const API = "api/v1/";

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let known = null; // whose key it is, asked for once

/** The key that the page shows: in a cookie that no script can read, so that none can take it. */
export const session = {
  begin: async key => { known = Promise.resolve(await send("POST", "session", { key })); },
  end: () => request(`${API}session`, { method: "DELETE" }),
  who: () => (known ??= get("session").catch(error => { known = null; throw error; })),
};

/** Told of each refusal for want of a key. */
export const refused = new EventTarget();

/** An answer that is an error is an ApiError with the problem's own words (RFC 9457). */
export async function request(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the service does not answer");
  }
  if (reply.ok) return reply;
  if (reply.status === 401) refused.dispatchEvent(new Event("refused"));
  throw new ApiError(reply.status, await detailOf(reply));
}

async function detailOf(reply) {
  const problem = await reply.json().catch(() => ({}));
  return problem.detail ?? `${reply.status} ${reply.statusText}`;
}

/** The body of a GET below api/v1; parameters without a value are left out, lists are repeated. */
export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  const asked = query.size ? `?${query}` : "";
  return (await request(`${API}${path}${asked}`, { signal })).json();
}

/** The answer to what changes something below api/v1. */
export async function send(method, path, body = undefined) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  return (await request(`${API}${path}`, { method, headers, body: JSON.stringify(body) })).json();
}

export const streamPath = name => `streams/${encodeURIComponent(name)}`;
export const anomalyPath = id => `anomalies/${encodeURIComponent(id)}`;
export const episodePath = id => `episodes/${encodeURIComponent(id)}`;
