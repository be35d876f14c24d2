// One episode: what happened, since when, and what is to blame.

import { anomalyPath, episodePath, get, streamPath } from "./api.js";
import { Charts, meter } from "./charts.js";
import { el, facts, nameOf, nothing, refill, svg } from "./dom.js";
import { duration, stateOf } from "./episodes.js";
import { mayChange, ofEpisode, saidOf } from "./feedback.js";
import { ago, count, number, percent, scoreText, secondsOf, whenThere } from "./format.js";
import { keepFresh } from "./fresh.js";
import { href, streamLink } from "./route.js";
import { badge } from "./severity.js";
import { explained } from "./terms.js";
import { showWhy } from "./why.js";
import { told } from "./words.js";

const LEAST_ROOM = 1800; // seconds before and after it that the chart shows
const LEAST_EVENTS = 40; // there, as they usually come
const CHARTS = 2; // features that are drawn at first
const LEAST_SHARE = 0.1; // of the surprise, that is to blame, where the largest share is not small itself
const WIDTH = 240;

export const title = () => "Episode";

export async function show(place, { name }, signal) {
  const parts = Object.fromEntries(["story", "charts", "blame", "why", "said", "past", "figures"].map(part => [part, el("div", {})]));
  const first = await get(episodePath(name), {}, signal);
  const usual = await get(streamPath(first.stream), { detector: first.detector }, signal).catch(() => null); // its memory may be gone
  signal.throwIfAborted(); // another page is there by now
  const section = (kind, heading, part) => el("section", { class: kind }, el("h2", {}, heading), part);
  refill(place, el("p", { class: "trail" }, el("a", { href: "#/episodes" }, "Episodes")), el("h1", {}, nameOf(first.stream)),
    parts.story, el("h2", { class: "unseen" }, "Around it"), parts.charts,
    section("blame", "To blame, at the peak", parts.blame),
    section("why", "What would have been normal", parts.why),
    section("said-of-it", "What you say of it", parts.said),
    section("past", "When it was like this before", parts.past),
    section("figures", "In figures", parts.figures));
  const charts = new Charts(parts.charts, {
    stream: first.stream, detector: first.detector, signal, range: { ...around(first, usual), span: null }, first: CHARTS,
    zoom: (start, end) => { location.hash = streamLink(first.stream, { detector: first.detector, start: start.toFixed(3), end: end.toFixed(3) }); },
  });
  let peak = null; // of which the why is shown
  keepFresh({
    place: parts.story, signal,
    load: async end => {
      const episode = await get(episodePath(name), {}, end);
      const atPeak = await get(anomalyPath(episode.peak), {}, end).catch(() => null); // told without
      return { episode, atPeak };
    },
    draw: ({ episode, atPeak }) => {
      charts.mark([episode]);
      if (atPeak) charts.tell(atPeak);
      refill(parts.story, story(episode));
      refill(parts.blame, blame(episode));
      refill(parts.figures, figures(episode, atPeak, around(episode, usual)));
      if (episode.peak !== peak) showWhy(parts.why, parts.past, { first: name, peak: (peak = episode.peak) }, signal);
    },
  });
  const again = keepFresh({
    place: parts.said, signal,
    load: async end => {
      const { acknowledged, note } = await get(episodePath(name), {}, end);
      const said = await saidOf(first.stream, first.detector, end);
      const { tolerated } = await get(streamPath(first.stream), { detector: first.detector }, end).catch(() => ({ tolerated: null }));
      return { acknowledged, note, said, tolerated, may: await mayChange() };
    },
    draw: ({ said, tolerated, may, ...remark }) => keepWriting(parts.said, () => refill(parts.said, ofEpisode({ ...first, ...remark }, said, tolerated, may, () => again()))),
  });
}

/** Draw anew around a note that somebody writes: what is not saved stays, and where they are in it. */
function keepWriting(place, draw) {
  const written = place.querySelector("textarea");
  const at = [written?.selectionStart, written?.selectionEnd];
  draw();
  const field = place.querySelector("textarea");
  if (!written || !field) return;
  if (written.value !== written.defaultValue) field.value = written.value;
  field.setSelectionRange(...at);
}

/** Its time with three times as much on each side, or more where its stream has few events; no more than there is. */
function around(episode, stream) {
  const [start, end] = [secondsOf(episode.start), secondsOf(episode.end)];
  const room = Math.max(LEAST_ROOM, LEAST_EVENTS * (stream?.usual_gap_seconds ?? 0), 3 * (end - start));
  const first = stream ? secondsOf(stream.first_time) : -Infinity; // after a reset a later one
  const last = stream && episode.state === "closed" ? secondsOf(stream.time) : Infinity; // of an open one more may come
  return { start: Math.max(0, Math.min(start, Math.max(start - room, first))), end: Math.max(end, Math.min(end + room, last)) };
}

function story(episode) {
  const at = text => [whenThere(secondsOf(text)), el("span", { class: "soft" }, ` ${ago(secondsOf(text))}`)];
  return [
    el("p", { class: "verdict" }, badge(episode.severity), " ", el("span", { class: `badge state-${episode.state}` }, stateOf(episode)), " ", nameOf(episode.began ?? episode.why)),
    episode.began && episode.began !== episode.why && el("p", {}, el("span", { class: "soft" }, "At its peak, held against what came before it: "), nameOf(episode.why)),
    facts([
      ["Since", at(episode.start)],
      ["Newest anomalous event", at(episode.end)],
      ["Lasted", `${duration(episode)}, ${count(episode.anomalies)} anomalous`],
      ["Peak score", `${scoreText(episode.score)} (1 is the threshold)`],
    ]),
  ];
}

function blame({ features }) {
  if (!features.length) return nothing("What was to blame is not kept here.");
  const least = Math.min(LEAST_SHARE, features[0].share / 2);
  const blamed = features.filter((feature, n) => n === 0 || feature.share >= least);
  const others = features.slice(blamed.length);
  return [
    el("ol", { class: "blamed" }, blamed.map(one)),
    others.length > 0 && el("details", {}, el("summary", { id: "not-to-blame" }, `${count(others.length)} more, not to blame`),
      el("ul", { class: "blamed" }, others.map(one))),
    el("p", { class: "soft" }, "The bar is the band that holds 99 % of normal values, the stroke in it what was expected, the diamond what came."),
  ];
}

function one(feature) {
  return el("li", {},
    el("p", {}, el("strong", {}, nameOf(feature.feature)), ` ${told(feature)}`, el("span", { class: "share" }, ` · ${percent(feature.share)} of the surprise`, meter(feature.share))),
    feature.expected !== null && picture(feature));
}

function figures(episode, atPeak, { start, end }) {
  return [
    facts([
      [explained("Tail probability"), atPeak && `${number(atPeak.tail_probability)}, of the peak`],
      [explained("Threshold"), atPeak && `tail probability ${number(atPeak.threshold)}`],
      [explained("Level"), atPeak && `${scoreText(atPeak.level)} at the peak (1 is its usual)`],
      ["Last change", episode.change],
      ["Detector", nameOf(episode.detector)],
      ["Artifact", el("code", {}, episode.artifact)],
      ["Peak event", el("code", {}, episode.peak)],
    ]),
    el("p", { class: "actions" },
      el("a", { class: "button", href: streamLink(episode.stream, { detector: episode.detector, start: start.toFixed(3), end: end.toFixed(3) }) }, "The stream at this time"),
      el("a", { class: "button", href: href("episodes", null, { stream: episode.stream }) }, "All episodes of this stream"), copyButton()),
  ];
}

/** The expected band, the expected value in it, and where the actual one was. */
function picture({ actual, expected, low, high }) {
  const [least, most] = [Math.min(actual, low), Math.max(actual, high)];
  const at = value => 8 + ((value - least) / (most - least || 1)) * (WIDTH - 16);
  const off = actual < low || actual > high;
  return svg("svg", { viewBox: `0 0 ${WIDTH} 24`, class: "bandpicture", role: "img", "aria-label": `${number(actual)} beside the band ${number(low)} to ${number(high)}` },
    svg("rect", { class: "axis", x: 0, y: 11.5, width: WIDTH, height: 1 }),
    svg("rect", { class: "band", x: at(low), y: 5, width: Math.max(2, at(high) - at(low)), height: 14, rx: 2 }),
    svg("rect", { class: "expected", x: at(expected) - 0.75, y: 5, width: 1.5, height: 14 }),
    svg("path", { class: off ? "actual off" : "actual", d: `M${at(actual)} 5l6 7-6 7-6-7Z` }));
}

function copyButton() {
  const button = el("button", { type: "button", click: copy }, "Copy the link");
  async function copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.replaceWith(el("input", { readonly: true, "aria-label": "Link to this episode", value: location.href })); // no clipboard without TLS: to be copied by hand
    }
  }
  return button;
}
