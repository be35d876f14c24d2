// What is shown stands in the address, behind the #: a link restores the view.

const PAGES = new Set(["streams", "episodes", "mutes", "dead-letters", "settings", "api"]);

/** {page, name, query}: #/streams/web-1?range=1h is page "stream" with name "web-1". */
export function parse(hash) {
  const [path, question = ""] = split(hash.replace(/^#\/?/, ""));
  const [page, ...rest] = path.split("/");
  const query = new URLSearchParams(question);
  if (page === "") return { page: "now", name: null, query };
  if (!PAGES.has(page)) return { page: "missing", name: null, query };
  if (!rest.length) return { page, name: null, query };
  const name = decode(rest.join("/"));
  const one = { streams: "stream", episodes: "episode" }[page];
  return name === null || !one ? { page: "missing", name: null, query } : { page: one, name, query };
}

function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null; // cut off within a character
  }
}

/** The address of a page; parameters without a value are left out. */
export function href(page, name = null, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const question = given.length ? `?${new URLSearchParams(given)}` : "";
  const path = [page, name === null ? null : encodeURIComponent(name)].filter(part => part !== null);
  return `#/${path.join("/")}${question}`;
}

export const streamLink = (name, parameters = {}) => href("streams", name, parameters);
export const episodeLink = id => href("episodes", id);
