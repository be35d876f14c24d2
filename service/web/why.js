// What would have been normal in place of an anomaly, and when its stream was like this before.

import { anomalyPath, get } from "./api.js";
import { el, nameOf, refill, trouble } from "./dom.js";
import { count, number, plural, scoreText, secondsOf, when, zone } from "./format.js";
import { streamLink } from "./route.js";

/** Ask for it, which takes a moment, and show it. */
export async function showWhy(place, anomaly, signal) {
  refill(place, el("p", { class: "soft" }, "Looking through the stream's past …"));
  try {
    const told = await get(`${anomalyPath(anomaly)}/why`, {}, signal);
    refill(place, normal(told), seen(told), similar(told));
  } catch (error) {
    if (!signal.aborted) refill(place, trouble(error));
  }
}

function normal({ counterfactual, unknown }) {
  if (counterfactual) return el("p", { class: "normally" }, nameOf(`${counterfactual.says}.`));
  return el("p", { class: "normally" }, "No other values are known that would have been normal: ", nameOf(`${unknown}.`));
}

function seen({ feature, unseen, events, since }) {
  if (unseen === null) return null;
  const past = `${plural(events, "earlier event")} since ${when(secondsOf(since))} ${zone()}`;
  if (unseen) return el("p", {}, el("strong", {}, "This stream has never been here: "), `in ${past} `, nameOf(feature), " was never so far off.");
  return el("p", { class: "soft" }, `Its value lies among those of ${past}.`);
}

function similar({ stream, detector, feature, similar: times, events }) {
  if (!times.length) return events > 0 && el("p", {}, "At no time before did its values take much the same course.");
  const links = times.map(({ start, end, distance, score, anomalous }) => {
    const [from, until] = [secondsOf(start), secondsOf(end)];
    const room = until - from;
    return el("li", {},
      el("a", { href: streamLink(stream, { detector, start: (from - room).toFixed(3), end: (until + room).toFixed(3) }) }, `${when(from)} to ${when(until)} ${zone()}`),
      ` · distance ${number(Math.round(100 * distance) / 100)} · ${anomalous ? "an anomaly, too" : "no anomaly"}, score ${scoreText(score)}`);
  });
  return [
    el("p", {}, `${count(times.length)} ${times.length === 1 ? "time" : "times"} before, `, nameOf(feature), " took much the same course, whatever its level and scale:"),
    el("ol", { class: "similar" }, links),
    el("p", { class: "soft" }, "The distance is 0 for the same form, and 1.41 for forms that have nothing in common."),
  ];
}
