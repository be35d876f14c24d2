// The first page: what is wrong, since when, and how the service itself does.

import { get } from "./api.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { known } from "./clock.js";
import { episodeCard, episodeTable, isQuiet, QUIET } from "./episodes.js";
import { count, number, secondsOf, whenThere } from "./format.js";
import { keepFresh } from "./fresh.js";
import { HeatMap } from "./heatmap.js";
import { live } from "./live.js";
import { href } from "./route.js";
import { badge, symbol } from "./severity.js";
import { empty } from "./streams.js";
import { waitsFor } from "./words.js";

const MOST_OPEN = 50; // of the newest, and of each of the worse severities, are looked at; more are counted
const WORSE = ["critical", "major"];
const SOON_MS = 700; // an episode is seen within a second
const MOST_QUIET = 3; // are shown like others; more are folded
const CARDS = 5; // of an incident, the worst ones
const LATELY = 5;
const MOST_ENDED = 50; // looked at
const ROWS = 20;
const ANOMALOUS = 50; // episodes whose streams come first
const COLUMNS = 60;
const MUCH = 2; // times the budget: true alarms count too
const SPANS = { "1h": ["1 h", 3600], "6h": ["6 h", 21600], "1d": ["1 d", 86400], "7d": ["7 d", 604800] };
const ORDER = ["critical", "major", "minor"];

export const title = () => "Now";

export function show(place, { query }, signal) {
  const parts = Object.fromEntries(["headline", "open", "tiles", "heat", "lately"].map(name => [name, el("div", { class: `part-${name}` })]));
  const span = query.get("span") in SPANS ? query.get("span") : "1d";
  refill(place, parts.headline, parts.open, parts.tiles,
    el("section", {}, el("div", { class: "title" }, el("h2", {}, "Most surprising streams"), spans(span)), parts.heat),
    el("section", {}, el("h2", {}, "Ended lately"), parts.lately));
  let told = null; // how the service is doing
  let found = null; // what is open
  const head = () => refill(parts.headline, headline(found, told));
  live.addEventListener("now", ({ detail }) => { told = detail; refill(parts.tiles, tiles(detail)); head(); }, { signal });
  keepFresh({ place: parts.open, signal, period: SOON_MS, load: openOnes, draw: ones => { found = ones; head(); refill(parts.open, opened(ones)); } });
  keepFresh({
    place: parts.lately, signal,
    load: end => endedLately(end),
    draw: items => refill(parts.lately, items.length ? episodeTable(items) : nothing("No episode has ended so far.")),
  });
  heat(parts.heat, span, signal);
}

/** Open episodes, the most severe first, in the incidents that they are part of; many quiet ones apart. */
async function openOnes(signal) {
  const newest = await get("episodes", { state: "open", limit: MOST_OPEN }, signal);
  const more = newest.next_cursor !== null;
  const open = more ? await withWorse(newest.items, signal) : newest.items;
  await known; // what time it is
  const stale = open.filter(isQuiet);
  const quiet = stale.length > MOST_QUIET ? stale : [];
  const items = open.filter(one => !quiet.includes(one));
  const start = items.map(one => one.start).sort()[0];
  const incidents = items.length > 1 ? (await get("incidents", { start }, signal)).items : [];
  const total = !more ? open.length : (await get("now", {}, signal)).open_episodes;
  return { items, quiet, total, incidents };
}

/** With the worse ones that are behind them: an old one is not hidden by many that are minor. */
async function withWorse(newest, signal) {
  const pages = await Promise.all(WORSE.map(severity => get("episodes", { state: "open", severity, limit: MOST_OPEN }, signal)));
  const all = [...newest, ...pages.flatMap(({ items }) => items)];
  return [...new Map(all.map(one => [one.id, one])).values()];
}

/** By their end: one that began long before the others may have ended last. */
async function endedLately(signal) {
  const { items } = await get("episodes", { state: "closed", limit: MOST_ENDED }, signal);
  return items.sort((a, b) => secondsOf(b.end) - secondsOf(a.end)).slice(0, LATELY);
}

/** What is open; that nothing is, is good news only while somebody watches. */
function headline(found, told) {
  const away = told === null ? null : told.error?.message ?? (told.now.ready ? null : waitsFor(told.now));
  if (away !== null) return el("h1", { class: "headline major" }, symbol("major"), `Not watching: ${away}`);
  if (found === null || told === null) return el("h1", { class: "headline" }, "Looking…");
  return openHeadline(found);
}

function openHeadline({ items, quiet, total }) {
  const worst = worstOf([...items, ...quiet]);
  const counted = ORDER.map(name => [name, items.filter(one => one.severity === name).length]).filter(([, n]) => n);
  const looked = items.length + quiet.length;
  const among = total > looked ? ", among them" : ":";
  const told = [...counted.map(([name, n]) => `${n} ${name}`), ...(quiet.length ? [`${quiet.length} quiet for ${QUIET}`] : [])];
  const words = looked
    ? `${count(total)} ${total === 1 ? "episode" : "episodes"} open${among} ${told.join(", ")}`
    : "No episode is open";
  return el("h1", { class: `headline ${worst}` }, symbol(worst), words);
}

const worstOf = episodes => ORDER.find(name => episodes.some(one => one.severity === name)) ?? "normal";

function opened({ items, quiet, total, incidents }) {
  const left = new Map(items.map(one => [one.id, one]));
  const groups = [];
  for (const { episodes, streams } of incidents) {
    const group = episodes.map(id => left.get(id)).filter(Boolean);
    for (const one of group) left.delete(one.id);
    if (group.length) groups.push({ group, streams });
  }
  groups.push(...[...left.values()].map(one => ({ group: [one], streams: [one.stream] })));
  for (const { group } of groups) group.sort((a, b) => b.score - a.score);
  groups.sort((a, b) => b.group[0].score - a.group[0].score);
  return [
    groups.length > 0 && el("h2", { class: "unseen" }, "Open episodes"),
    ...groups.map(({ group }) => (group.length === 1 ? episodeCard(group[0]) : incident(group))),
    quiet.length > 0 && el("details", { class: "quiet-ones" },
      el("summary", { id: "quiet-ones" }, badge(worstOf(quiet)), `${count(quiet.length)} open without an anomalous event for ${QUIET} or longer`),
      el("p", { class: "soft" }, "An episode is closed by ten quiet events of its stream, which have not come yet."), episodeTable(quiet)),
    total > items.length + quiet.length && el("p", {}, el("a", { href: href("episodes", null, { state: "open" }) }, `All ${count(total)} open episodes`)),
  ];
}

function incident(group) {
  const start = group.map(one => one.start).sort()[0];
  return el("section", { class: "incident" },
    el("h3", {}, `${group.length} episodes at the same time`, el("span", { class: "soft" }, ` since ${whenThere(secondsOf(start))}`)),
    group.slice(0, CARDS).map(episodeCard),
    group.length > CARDS && el("p", {}, el("a", { href: href("episodes", null, { state: "open" }) }, `and ${count(group.length - CARDS)} more`)));
}

function tiles({ now, error }) {
  if (now === null) return el("p", { class: "trouble" }, `Rates of the service are not available: ${error.message}`);
  return el("dl", { class: "tiles" },
    tile("State", now.ready ? "ready" : "not ready", now.ready ? "reading events" : waitsFor(now), now.ready ? "good" : "critical"),
    tile("Events per second", number(now.events_per_second)),
    tile("Lag", now.lag_records === null ? "–" : count(now.lag_records), now.lag_records === 1 ? "record waits to be read" : "records wait to be read"),
    tile("Streams", now.streams === null ? "–" : count(now.streams)),
    now.detectors.map(one => budget(one, now.streams, now.detectors)));
}

function tile(term, value, more = null, kind = null) {
  return el("div", {}, el("dt", {}, term), el("dd", { class: kind }, value), more !== null && el("dd", { class: "soft" }, more));
}

/** Achieved beside promised. */
function budget(detector, streams, all) {
  const achieved = detector.alarms_per_stream_week;
  const over = achieved !== null && achieved > MUCH * detector.false_alarms_per_week;
  const name = all.length > 1 ? [" · ", nameOf(detector.name)] : [];
  return el("div", {}, el("dt", {}, "Alarms per stream and week", name),
    el("dd", { class: over ? "major" : null }, achieved === null ? "–" : achieved.toFixed(2)),
    achieved === null && streams !== null && el("dd", { class: "soft" }, "too little data yet: less than a week of stream time"),
    el("dd", { class: "soft" }, `true and false; promised are at most ${number(detector.false_alarms_per_week)} false`));
}

function spans(chosen) {
  return el("nav", { class: "segments", "aria-label": "Time of the heat map" }, Object.entries(SPANS).map(([key, [text]]) => (
    el("a", { href: `#/?span=${key}`, "aria-current": key === chosen ? "true" : null }, text))));
}

function heat(place, span, signal) {
  const map = new HeatMap(place, signal);
  keepFresh({
    place, signal, period: 5000,
    load: async end => {
      const { items } = await get("streams", { sort: "score", limit: ROWS }, end);
      if (!items.length) return null;
      const newest = Math.max(...items.map(one => secondsOf(one.time))) + 1; // its own cell holds it
      const time = { start: Math.max(0, newest - SPANS[span][1]), end: newest };
      const { detector } = items[0]; // each is of the same one
      const asked = { ...time, detector, limit: ANOMALOUS };
      const { items: episodes } = await get("episodes", asked, end); // whose streams may be calm again
      const worst = episodes.sort((a, b) => b.score - a.score);
      const stream = [...new Set([...worst, ...items].map(one => one.stream))].slice(0, ROWS);
      return { detector, map: await get("heatmap", { ...time, detector, stream, columns: COLUMNS }, end) };
    },
    draw: told => (told ? map.draw(told.map, told.detector, span) : refill(place, empty())),
  });
}
