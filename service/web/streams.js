// The list of streams: search, sort, page by page.

import { get } from "./api.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { count, lasted, percent, scoreText, secondsOf, when, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { streamLink } from "./route.js";
import { badge, severityOf } from "./severity.js";
import { Filters, pager, table } from "./table.js";

const PAGE = "streams";
const LIMIT = 50;
const ORDERS = [["", "Name"], ["score", "Highest score first"]];

export const title = () => "Streams";

export function show(place, { query }, signal) {
  const list = el("section", { "aria-label": "Streams" });
  const filters = new Filters(PAGE, query, signal);
  const form = el("div", { class: "filters" }, filters.search("Search", "search"), filters.choice("Sort by", "sort", ORDERS));
  refill(place, el("h1", {}, "Streams"), form, list);
  if (query.get("focus")) place.querySelector("#find-search").focus();
  const asked = () => ({ ...Object.fromEntries(["search", "sort", "detector", "cursor"].map(name => [name, query.get(name)])), limit: LIMIT });
  filters.reload = keepFresh({
    place: list, signal,
    load: end => get(PAGE, asked(), end),
    draw: page => refill(list, listed(page, query)),
  });
}

function listed({ items, next_cursor: next, unreachable }, query) {
  const missing = unreachable.length > 0 && el("p", { class: "trouble" }, `Instances that did not answer, so their streams are missing: ${unreachable.join(", ")}`);
  if (!items.length) return [missing, query.get("search") ? nothing("No stream's name has this in it.") : empty()];
  const cut = (query.get("sort") === "score" || query.get("search")) && items.length === LIMIT;
  const note = cut && el("p", { class: "soft" }, `The ${LIMIT} with the highest scores. Search for others by a part of their names.`);
  return [missing, note, table("Streams", columns(), items), pager(PAGE, query, next)];
}

export const empty = () => nothing("Waiting for the first event: POST it to ", el("code", {}, "api/v1/events"), " or produce it to the topic. ", el("a", { href: "docs" }, "How"));

const columns = () => [
  { title: "Stream", kind: "stream", cell: one => el("a", { href: streamLink(one.stream, { detector: one.detector }) }, nameOf(one.stream)) },
  { title: "State", cell: one => badge(severityOf(one.score)) },
  { title: "Score", kind: "n", cell: one => scoreText(one.score) },
  { title: "Level", kind: "n", cell: one => scoreText(one.level) },
  { title: `Newest event (${zone()})`, kind: "time", cell: one => when(secondsOf(one.time)) },
  { title: "Events", kind: "n", cell: one => count(one.events) },
  { title: "Remembers", kind: "n", cell: one => lasted(one.age_seconds) },
  { title: "Alarms", kind: "n", cell: one => count(one.alarms) },
  { title: "Confidence", kind: "n", cell: one => percent(one.confidence) },
];
