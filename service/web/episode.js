// One episode: what happened, since when, and what is to blame.

import { anomalyPath, episodePath, get } from "./api.js";
import { Charts, meter } from "./charts.js";
import { el, facts, nameOf, refill, svg } from "./dom.js";
import { duration, stateOf } from "./episodes.js";
import { ago, count, number, percent, scoreText, secondsOf, when, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { href, streamLink } from "./route.js";
import { ofEpisode, saidOf } from "./feedback.js";
import { badge } from "./severity.js";
import { explained } from "./terms.js";
import { showWhy } from "./why.js";
import { told } from "./words.js";

const LEAST_ROOM = 1800; // seconds before and after it that the chart shows
const WIDTH = 240;

export const title = () => "Episode";

export async function show(place, { name }, signal) {
  const parts = { story: el("div", {}), why: el("div", {}), said: el("div", {}), charts: el("section", { "aria-label": "Charts around it" }) };
  const first = await get(episodePath(name), {}, signal);
  refill(place, el("p", { class: "trail" }, el("a", { href: "#/episodes" }, "Episodes")), el("h1", {}, nameOf(first.stream)), parts.story,
    el("section", { class: "why", "aria-label": "Its past" }, el("h2", {}, "What would have been normal, and when it was like this"), parts.why),
    el("section", { "aria-label": "What you say of it" }, el("h2", {}, "What you say of it"), parts.said), el("h2", {}, "Around it"), parts.charts);
  const charts = new Charts(parts.charts, {
    stream: first.stream, detector: first.detector, signal, range: { ...around(first), span: null },
    zoom: (start, end) => { location.hash = streamLink(first.stream, { detector: first.detector, start: start.toFixed(3), end: end.toFixed(3) }); },
  });
  let peak = null;
  keepFresh({
    place: parts.story, signal,
    load: async end => {
      const episode = await get(episodePath(name), {}, end);
      const atPeak = await get(anomalyPath(episode.peak), {}, end).catch(() => null); // told without
      return { episode, atPeak };
    },
    draw: ({ episode, atPeak }) => {
      charts.mark([episode]);
      refill(parts.story, story(episode, atPeak));
      if (episode.peak !== peak) showWhy(parts.why, (peak = episode.peak), signal);
    },
  });
  const again = keepFresh({
    place: parts.said, signal,
    load: async end => {
      const { acknowledged, note } = await get(episodePath(name), {}, end);
      return { acknowledged, note, said: await saidOf(first.stream, first.detector, end) };
    },
    draw: ({ said, ...remark }) => { if (!writing(parts.said)) refill(parts.said, ofEpisode({ ...first, ...remark }, said, () => again())); },
  });
}

/** Whether somebody writes a note just now: then it stays as it is. */
const writing = place => place.contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA";

/** Its time with three times as much on each side. */
function around(episode) {
  const [start, end] = [secondsOf(episode.start), secondsOf(episode.end)];
  const room = Math.max(LEAST_ROOM, 3 * (end - start));
  return { start: start - room, end: end + room };
}

function story(episode, atPeak) {
  const start = secondsOf(episode.start);
  const { start: from, end: until } = around(episode);
  return [
    el("p", { class: "verdict" }, badge(episode.severity), " ", el("span", { class: `badge state-${episode.state}` }, stateOf(episode)), " ", nameOf(episode.began ?? episode.why)),
    episode.began && episode.began !== episode.why && el("p", {}, el("span", { class: "soft" }, "At its peak, held against what came before it: "), nameOf(episode.why)),
    facts([
      ["Since", `${when(start)} ${zone()} ${ago(start) && `(${ago(start)})`}`],
      ["Newest anomalous event", `${when(secondsOf(episode.end))} ${zone()}`],
      ["Lasted", duration(episode)],
      ["Peak score", `${scoreText(episode.score)} of the threshold 1`],
      [explained("Tail probability"), atPeak && `${number(atPeak.tail_probability)}, of the peak`],
      [explained("Threshold"), atPeak && `tail probability ${number(atPeak.threshold)}`],
      [explained("Level"), atPeak && `${scoreText(atPeak.level)} at the peak (1 is its usual)`],
      ["Anomalous events", count(episode.anomalies)],
      ["Last change", episode.change],
      ["Detector", nameOf(episode.detector)],
      ["Artifact", el("code", {}, episode.artifact)],
      ["Peak event", el("code", {}, episode.peak)],
    ]),
    el("p", { class: "actions" },
      el("a", { class: "button", href: streamLink(episode.stream, { detector: episode.detector, start: from.toFixed(3), end: until.toFixed(3) }) }, "The stream at this time"),
      el("a", { class: "button", href: href("episodes", null, { stream: episode.stream }) }, "All episodes of this stream"), copyButton()),
    el("h2", {}, "To blame, at the peak"),
    el("p", { class: "soft" }, "The most blamed feature first. The bar is the band that holds 99 % of normal values, the stroke in it what was expected, the diamond what came."),
    el("ol", { class: "blamed" }, episode.features.map(blamed)),
  ];
}

function blamed(feature) {
  return el("li", {},
    el("p", {}, el("strong", {}, nameOf(feature.feature)), ` ${told(feature)}`, el("span", { class: "share" }, ` · ${percent(feature.share)} of the surprise`, meter(feature.share))),
    feature.expected !== null && picture(feature));
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
