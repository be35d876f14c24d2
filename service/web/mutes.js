// Mutes: whose anomalies alarm nobody, and when; on a page of their own and beside a stream.

import { get, send } from "./api.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { action } from "./feedback.js";
import { secondsOf, when, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { streamLink } from "./route.js";
import { table } from "./table.js";

const PAGE = "mutes";
const HOUR = 3600;
const FOR = [["1 hour", HOUR], ["8 hours", 8 * HOUR], ["1 day", 24 * HOUR], ["until it is removed", null]];
const EVERY = [["", "Once"], ["day", "Every day"], ["week", "Every week"]];

export const title = () => "Mutes";

export function show(place, _, signal) {
  const list = el("section", { "aria-label": "Mutes" });
  refill(place, el("h1", {}, "Mutes"),
    el("p", { class: "soft" }, "What is muted is scored and kept as ever, and alarms nobody. Times are those of the events."),
    list, el("section", {}, el("h2", {}, "A new one"), form(() => again())));
  const again = keepFresh({
    place: list, signal, period: 10000,
    load: end => get(PAGE, {}, end),
    draw: ({ items }) => refill(list, items.length ? listed(items, () => again()) : nothing("Nothing is muted.")),
  });
}

/** What mutes a stream, and how to mute it from its newest event on. */
export function ofStream(stream, detector, newest, items, changed) {
  const mute = seconds => {
    const start = new Date(newest * 1000).toISOString();
    const end = seconds === null ? null : new Date((newest + seconds) * 1000).toISOString();
    return send("POST", PAGE, { stream, detector, start, end }).then(told => { changed(); complain(told); });
  };
  return [
    items.length ? listed(items, changed) : el("p", { class: "soft" }, "Nothing mutes it."),
    el("div", { class: "actions" }, el("span", {}, "Mute it from its newest event on, for"), FOR.map(([text, seconds]) => action(text, () => mute(seconds)))),
    el("p", { class: "soft" }, "Patterns, features and windows that come again: ", el("a", { href: "#/mutes" }, "Mutes"), "."),
  ];
}

/** What concerns a stream. */
export const mutesOf = (stream, detector, signal) => get(PAGE, { stream, detector }, signal).then(({ items }) => items);

function complain({ unreachable }) {
  if (unreachable.length) throw new Error(`did not reach ${unreachable.join(", ")}: try again`);
}

function listed(items, changed) {
  const remove = one => send("DELETE", `${PAGE}/${encodeURIComponent(one.id)}`).then(told => { changed(); complain(told); });
  return table("Mutes", [
    { title: "Streams", kind: "long", cell: streams },
    { title: "Features", cell: one => one.features.map(nameOf).flatMap((name, n) => (n ? [", ", name] : [name])).concat(one.features.length ? [] : ["all"]) },
    { title: `From (${zone()})`, kind: "time", cell: one => (one.start === null ? "always" : when(secondsOf(one.start))) },
    { title: "Until before", kind: "time", cell: one => (one.end === null ? "it is removed" : when(secondsOf(one.end))) },
    { title: "Again", cell: one => (one.every === null ? "no" : `every ${one.every}`) },
    { title: "Note", kind: "long", cell: one => (one.note ? nameOf(one.note) : "–") },
    { title: "Remove", cell: one => action("Remove", () => remove(one), { "aria-label": `Remove the mute of ${one.stream ?? one.pattern ?? "all streams"}` }) },
  ], items);
}

function streams(one) {
  const whose = one.detector && el("span", { class: "soft" }, ` of the detector ${one.detector}`);
  if (one.stream !== null) return [el("a", { href: streamLink(one.stream, { detector: one.detector }) }, nameOf(one.stream)), whose];
  return [one.pattern === null ? "all" : el("code", {}, one.pattern), whose];
}

function form(changed) {
  const pattern = el("input", { id: "mute-pattern", maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: "web-*" });
  const features = el("input", { id: "mute-features", autocomplete: "off", spellcheck: "false", placeholder: "all" });
  const [start, end] = ["mute-start", "mute-end"].map(id => el("input", { id, type: "datetime-local", step: 1 }));
  const every = el("select", { id: "mute-every" }, EVERY.map(([value, text]) => el("option", { value }, text)));
  const note = el("input", { id: "mute-note", maxlength: 2000, autocomplete: "off" });
  const add = async () => {
    if (!pattern.value) throw new Error("say which streams, * for all");
    const told = await send("POST", PAGE, {
      pattern: pattern.value, features: features.value.split(",").map(name => name.trim()).filter(Boolean),
      start: utc(start.value), end: utc(end.value), every: every.value || null, note: note.value || null,
    });
    changed();
    complain(told);
  };
  return el("div", { class: "filters" },
    el("label", {}, "Streams, * for any characters", pattern), el("label", {}, "Features, with commas", features),
    el("label", {}, "From, UTC", start), el("label", {}, "Until before, UTC", end), el("label", {}, "Again", every),
    el("label", { class: "grow" }, "Note", note), action("Mute", add, { id: "mute-add" }));
}

const utc = text => (text ? `${text}Z` : null);
