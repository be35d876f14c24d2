// The list of episodes, and the card and row that other pages show of one too.

import { get } from "./api.js";
import { present } from "./clock.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { ago, count, lasted, plural, scoreText, secondsOf, when, whenThere, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { episodeLink, streamLink } from "./route.js";
import { badge, symbol } from "./severity.js";
import { Filters, pager, table } from "./table.js";

export const QUIET = "a day";
const QUIET_SECONDS = 86400;
const PAGE = "episodes";
const LIMIT = 50;
const ACKNOWLEDGED = [["", "Any"], ["false", "No"], ["true", "Yes"]];
const FILTERS = ["state", "severity", "acknowledged", "stream", "detector", "start", "end", "cursor"];
const STATES = [["", "Any"], ["open", "Open"], ["closed", "Closed"]];
const SEVERITIES = [["", "Any"], ["critical", "Critical"], ["major", "Major"], ["minor", "Minor"]];

export const title = () => "Episodes";

export function show(place, { query }, signal) {
  const list = el("section", { "aria-label": "Episodes" });
  const filters = new Filters(PAGE, query, signal);
  const detectors = el("span", { class: "contents" });
  const form = el("div", { class: "filters" },
    filters.choice("State", "state", STATES), filters.choice("Severity", "severity", SEVERITIES),
    filters.choice("Acknowledged", "acknowledged", ACKNOWLEDGED),
    filters.search("Stream (whole name)", "stream"), detectors);
  refill(place, el("h1", {}, "Episodes"), form, list);
  addDetectors(detectors, filters, signal);
  const asked = () => ({ ...Object.fromEntries(FILTERS.map(name => [name, query.get(name)])), limit: LIMIT });
  filters.reload = keepFresh({
    place: list, signal,
    load: end => get(PAGE, asked(), end),
    draw: page => refill(list, listed(page, query)),
  });
}

/** A choice of detectors, where there is one to make. */
async function addDetectors(place, filters, signal) {
  const { items } = await get("detectors", {}, signal).catch(() => ({ items: [] })); // the list shows the error
  if (items.length < 2) return;
  place.append(filters.choice("Detector", "detector", [["", "Any"], ...items.map(({ name }) => [name, name])]));
}

function listed({ items, next_cursor: next }, query) {
  if (!items.length) return [nothing(query.size ? "No episode is like that." : "No episode so far. An alarm opens one: the first events of a stream cannot raise it yet.")];
  return [episodeTable(items), pager(PAGE, query, next)];
}

/** Up to its newest anomalous event. */
export function duration(episode) {
  const seconds = secondsOf(episode.end) - secondsOf(episode.start);
  return seconds === 0 ? "one event" : lasted(seconds);
}

export function episodeTable(items, withStream = true) {
  const stream = { title: "Stream", kind: "stream said-itself", cell: one => el("a", { href: streamLink(one.stream, { detector: one.detector }) }, nameOf(one.stream)) };
  return table("Episodes", [
    { title: `Since (${zone()})`, kind: "time", cell: one => el("a", { href: episodeLink(one.id) }, when(secondsOf(one.start))) },
    { title: "Severity", kind: "said-itself", cell: one => badge(one.severity) },
    { title: "State", kind: "said-itself", cell: one => stateOf(one) },
    ...(withStream ? [stream] : []),
    { title: "What", kind: "long said-itself", cell: one => [nameOf(one.began ?? one.why), one.note && el("p", { class: "soft" }, nameOf(one.note))] },
    { title: "Lasted", kind: "n", cell: duration },
    { title: "Peak score", kind: "n", cell: one => scoreText(one.score) },
    { title: "Anomalous events", kind: "n", cell: one => count(one.anomalies) },
  ], items);
}

/** Whether it is open, and nothing anomalous has come for long: its stream may have few events. */
export const isQuiet = episode => episode.state === "open" && present() - secondsOf(episode.end) >= QUIET_SECONDS;

const quietFor = episode => lasted(present() - secondsOf(episode.end));

export const stateOf = episode => el("span", { class: `state-${episode.state}` }, episode.state,
  isQuiet(episode) && el("span", { class: "soft" }, `, quiet for ${quietFor(episode)}`),
  episode.acknowledged && el("span", { class: "soft" }, ", acknowledged"));

/** An open episode, as large as it is urgent. */
export function episodeCard(episode) {
  const start = secondsOf(episode.start);
  return el("article", { class: `card episode ${episode.severity}` },
    el("h3", {}, symbol(episode.severity), el("span", { class: "word" }, episode.severity), el("a", { href: episodeLink(episode.id) }, nameOf(episode.stream))),
    el("p", { class: "what" }, nameOf(episode.began ?? episode.why)),
    episode.began && episode.began !== episode.why && el("p", { class: "soft" }, "at its peak: ", nameOf(episode.why)),
    episode.note && el("p", { class: "soft" }, "noted: ", nameOf(episode.note)),
    el("p", { class: "soft" },
      "since ", el("strong", {}, whenThere(start)), ago(start) && ` (${ago(start)})`,
      episode.anomalies > 1 && ` · ${duration(episode)} so far`, ` · peak score ${scoreText(episode.score)}`,
      ` · ${plural(episode.anomalies, "anomalous event")}`, isQuiet(episode) && ` · quiet for ${quietFor(episode)}`, episode.acknowledged && " · acknowledged"));
}
