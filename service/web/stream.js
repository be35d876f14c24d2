// One stream: what came, what was expected, what is wrong, what is remembered.

import { get, streamPath } from "./api.js";
import { Charts } from "./charts.js";
import { el, facts, nameOf, nothing, refill, trouble } from "./dom.js";
import { episodeTable } from "./episodes.js";
import { bytes, count, lasted, number, percent, plural, scoreText, secondsOf, when, whenThere } from "./format.js";
import { mayChange, ofStream, saidOf } from "./feedback.js";
import { keepFresh } from "./fresh.js";
import { gates } from "./gates.js";
import { mutesOf, ofStream as mutesOfStream } from "./mutes.js";
import { picker, rangeOf } from "./range.js";
import { href } from "./route.js";
import { badge, severityOf } from "./severity.js";
import { table } from "./table.js";
import { explained } from "./terms.js";

const EPISODES = 50;

export const title = ({ name }) => name;

export async function show(place, { name, query }, signal) {
  const detector = query.get("detector");
  const parts = Object.fromEntries(["verdict", "charts", "episodes", "said", "mutes", "memory"].map(part => [part, el("div", {})]));
  const heading = el("h1", {}, nameOf(name));
  const detail = await get(streamPath(name), { detector }, signal);
  let newest = secondsOf(detail.time); // it moves on with the stream
  const range = rangeOf(query, { newest, first: secondsOf(detail.first_time), gap: detail.usual_gap_seconds });
  refill(place,
    el("p", { class: "trail" }, el("a", { href: "#/streams" }, "Streams")), heading, parts.verdict,
    picker("streams", name, query, range, newest), el("h2", { class: "unseen" }, "Charts"), parts.charts,
    el("section", {}, el("h2", {}, "Episodes in this time"), parts.episodes),
    el("section", {}, el("h2", {}, "What was said of its alarms"), parts.said),
    el("section", {}, el("h2", {}, "Mutes"), parts.mutes),
    el("section", {}, el("h2", {}, "What the memory holds"), parts.memory));
  addDetectors(place.querySelector(".picker"), name, query, signal);

  const zoom = (start, end) => {
    const { range: _, ...kept } = Object.fromEntries(query);
    location.hash = href("streams", name, { ...kept, start: start.toFixed(3), end: end.toFixed(3) });
  };
  const shown = { ...range }; // it moves on with the stream
  const below = gates({ stream: name, detector, range: shown, signal, zoom });
  const charts = new Charts(parts.charts, { stream: name, detector, range: shown, signal, zoom, below });
  keepFresh({
    place: parts.verdict, signal, on: "now", period: 1000,
    load: end => get(streamPath(name), { detector }, end),
    draw: told => {
      newest = secondsOf(told.time);
      charts.tell({ time: told.time, score: told.score, features: {} });
      refill(parts.verdict, verdict(told));
      refill(parts.memory, memory(told));
    },
  });
  showSaid(parts.said, name, detail.detector, () => ({ ...shown, end: shown.end ?? newest + 1 }), signal);
  showMutes(parts.mutes, name, detail.detector, () => newest, signal);
  keepFresh({
    place: parts.episodes, signal,
    load: end => get("episodes", { stream: name, detector: detail.detector, start: range.start, end: range.end, limit: EPISODES }, end),
    draw: ({ items, next_cursor: more }) => {
      charts.mark(items);
      refill(parts.episodes, items.length ? episodeTable(items, false) : nothing("No episode in this time."), more !== null && el("p", {}, el("a", { href: href("episodes", null, { stream: name }) }, "All of them")));
    },
  });
}

function showSaid(place, stream, detector, range, signal) {
  const again = keepFresh({
    place, signal,
    load: async end => ({ said: await saidOf(stream, detector, end), may: await mayChange() }),
    draw: ({ said, may }) => refill(place, ofStream(stream, detector, said, may, range, () => again())),
  });
}

function showMutes(place, stream, detector, newest, signal) {
  const again = keepFresh({
    place, signal, period: 10000,
    load: async end => ({ items: await mutesOf(stream, detector, end), may: await mayChange() }),
    draw: ({ items, may }) => refill(place, mutesOfStream(stream, detector, newest, items, may, () => again())),
  });
}

/** Links to the other detectors, where there are some. */
async function addDetectors(place, name, query, signal) {
  try {
    const { items } = await get("detectors", {}, signal);
    if (items.length < 2) return;
    const chosen = query.get("detector") ?? "default";
    const { detector: _, ...kept } = Object.fromEntries(query);
    place.append(el("nav", { class: "segments", "aria-label": "Detector" }, items.map(one => (
      el("a", { href: href("streams", name, { ...kept, detector: one.name }), "aria-current": one.name === chosen ? "true" : null }, one.name)))));
  } catch (error) {
    if (!signal.aborted) place.append(trouble(error));
  }
}

function verdict(told) {
  const severity = severityOf(told.score);
  return el("p", { class: "verdict" },
    badge(severity), ` score ${scoreText(told.score)} (1 is the threshold) at `, el("strong", {}, whenThere(secondsOf(told.time))),
    ` · so far ${plural(told.anomalies, "anomalous event")} and ${plural(told.alarms, "alarm")} in ${plural(told.events, "event")}`);
}

function memory(told) {
  const features = Object.entries(told.features);
  return [
    facts([
      ["Events seen", count(told.events)],
      ["Remembers", `${lasted(told.age_seconds)}, since ${when(secondsOf(told.first_time))}`],
      ["Confidence", `${percent(told.confidence)}: how much is its own history`],
      [explained("Level"), `${scoreText(told.level)} (1 is its usual)`],
      [explained("Tail probability"), `${number(told.tail_probability)}, of the newest event`],
      [explained("Threshold"), `tail probability ${number(told.threshold)}`],
      ["Tolerated", told.tolerated > 0 ? `single events up to a score of ${scoreText(told.tolerated)}` : null],
      ["Usually between two events", lasted(told.usual_gap_seconds)],
      ["Came out of order", count(told.late)],
      ["Current to offset", count(told.offset)],
      ["Artifact", el("code", {}, told.artifact)],
      ["Detector", nameOf(told.detector)],
      ["Size", bytes(told.memory_bytes)],
    ]),
    table("What the memory holds of each feature", FEATURES, features),
  ];
}

const figure = (title, key) => ({ title, kind: "n", cell: ([, held]) => number(held[key]) });

const FEATURES = [
  { title: "Feature", cell: ([name]) => nameOf(name) },
  figure("Last", "value"), figure("Level", "level"), figure("Next, expected", "expected"), figure("Scale", "scale"),
  figure("Step", "step"), figure("Spread", "spread"), { title: "Values", kind: "n", cell: ([, held]) => count(held.count) },
];
