// Which time is shown: relative to a stream's newest event, as a replay's times are old ones.

import { el } from "./dom.js";
import { href } from "./route.js";

const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400, "7d": 604800, "30d": 2592000, all: null };
const NAMES = { "15m": "15 min", "1h": "1 h", "6h": "6 h", "1d": "1 d", "7d": "7 d", "30d": "30 d", all: "All" };
const EVENTS = 200; // that a range should show where none is chosen

/** {name, start, end, span} of what the address asks for; `end` null: up to the newest event. */
export function rangeOf(query, { newest, first, gap }) {
  const [start, end] = ["start", "end"].map(name => since1970(Number.parseFloat(query.get(name))));
  if (end > start) return { name: null, start, end, span: null };
  const asked = query.get("range");
  const name = asked in RANGES ? asked : fitting(EVENTS * gap);
  const span = RANGES[name];
  return { name, start: span === null ? first : since1970(newest - span), end: null, span };
}

/** No earlier time is taken. */
const since1970 = seconds => Math.max(0, seconds);

const fitting = seconds => Object.keys(RANGES).find(name => RANGES[name] === null || RANGES[name] >= seconds);

/** Links to the ranges, and to the times before, after, within and around what is shown. */
export function picker(page, name, query, range, newest) {
  const { start: _, end: __, range: ___, ...kept } = Object.fromEntries(query);
  const to = parameters => href(page, name, { ...kept, ...parameters });
  const links = Object.keys(RANGES).map(key => el("a", { href: to({ range: key }), "aria-current": key === range.name ? "true" : null }, NAMES[key]));
  return el("div", { class: "picker" },
    el("nav", { class: "segments", "aria-label": "Time range, up to the newest event" }, links),
    el("nav", { class: "segments", "aria-label": "Move the time range" }, moves(range, newest, to)));
}

function moves(range, newest, to) {
  const end = range.end ?? newest;
  const length = end - range.start;
  const link = (text, from, until) => el("a", { href: to({ start: since1970(from).toFixed(3), end: until.toFixed(3) }) }, text);
  return [
    link("← Earlier", range.start - length / 2, end - length / 2),
    link("Later →", range.start + length / 2, end + length / 2),
    link("Closer", range.start + length / 4, end - length / 4),
    link("Wider", range.start - length / 2, end + length / 2),
  ];
}
