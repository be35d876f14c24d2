// What would have been normal in place of an anomaly, and when its stream was like this before.

import { anomalyPath, get } from "./api.js";
import { el, nameOf, refill, trouble } from "./dom.js";
import { count, keptScore, number, plural, secondsOf, when, whenThere } from "./format.js";
import { streamLink } from "./route.js";

const TIMES = { day: "this time of day", week: "this time of the week" };

/**
 * Ask for it, which takes a moment, and show it: what would have been normal, and the past. An
 * episode's first event is told of first: later ones are held against it, and have it in their past.
 */
export async function showWhy(place, past, { first, peak }, signal) {
  for (const part of [place, past]) refill(part, el("p", { class: "soft" }, "Looking through the stream's past …"));
  const why = anomaly => get(`${anomalyPath(anomaly)}/why`, {}, signal);
  try {
    const told = await why(first).catch(error => { if (peak === first || error.status !== 404) throw error; return why(peak); });
    refill(place, normal(told), told.usual.map(one => usual(one, told)));
    refill(past, seen(told), similar(told));
    if (told.id === peak) return;
    const atPeak = await why(peak).catch(() => null); // it adds to what was said
    if (atPeak?.counterfactual) place.append(el("h3", {}, "At its peak, held against what came before it"), normal(atPeak));
  } catch (error) {
    if (signal.aborted) return;
    refill(place, trouble(error));
    refill(past, el("p", { class: "soft" }, "Not known either."));
  }
}

function normal({ counterfactual, unknown }) {
  if (counterfactual) return el("p", { class: "normally" }, nameOf(`${counterfactual.says}.`));
  return el("p", { class: "normally" }, "Which value would have been normal cannot be said: ", nameOf(`${unknown}.`));
}

function usual({ of, value, deviation }, { feature }) {
  return el("p", { class: "usually" }, nameOf(feature), ` is usually about ${number(value)} at ${TIMES[of]}, give or take ${number(deviation)}.`);
}

function seen({ feature, unseen, events, since }) {
  if (unseen === null) return el("p", { class: "soft" }, "None of its past is kept here.");
  const past = `${plural(events, "earlier event")} since ${whenThere(secondsOf(since))}`;
  if (unseen) return el("p", {}, el("strong", {}, "This stream has never been here: "), `in ${past} `, nameOf(feature), " was never so far off.");
  return el("p", { class: "soft" }, `Its value lies among those of ${past}.`);
}

function similar({ stream, detector, feature, similar: times, events }) {
  if (!times.length) return events > 0 && el("p", {}, "At no time before did its values take much the same course.");
  const links = times.map(({ start, end, distance, score, anomalous }) => {
    const [from, until] = [secondsOf(start), secondsOf(end)];
    const room = until - from;
    return el("li", {},
      el("a", { href: streamLink(stream, { detector, start: (from - room).toFixed(3), end: (until + room).toFixed(3) }) }, `${when(from)} to ${whenThere(until)}`),
      ` · distance ${number(Math.round(100 * distance) / 100)} · ${anomalous ? "an anomaly, too" : "no anomaly"}, score ${keptScore(score)}`);
  });
  return [
    el("p", {}, `${count(times.length)} ${times.length === 1 ? "time" : "times"} before, `, nameOf(feature), " took much the same course, whatever its level and scale:"),
    el("ol", { class: "similar" }, links),
    el("p", { class: "soft" }, "The distance is 0 for the same form, and 1.41 for forms that have nothing in common."),
  ];
}
