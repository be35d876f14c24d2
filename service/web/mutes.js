// Mutes: whose anomalies alarm nobody, and when; on a page of their own and beside a stream.

import { get, send, session } from "./api.js";
import { isReplay, known, present } from "./clock.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { action, mayChange, onlyLooks } from "./feedback.js";
import { lasted, secondsOf, when, whenThere, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { streamLink } from "./route.js";
import { table } from "./table.js";

const PAGE = "mutes";
const HOUR = 3600;
const FOR = [["1 hour", HOUR], ["8 hours", 8 * HOUR], ["1 day", 24 * HOUR], ["until it is removed", null]];
const PERIODS = { day: 24 * HOUR, week: 7 * 24 * HOUR };
const EVERY = [["", "Once"], ["day", "Every day"], ["week", "Every week"]];
const AGAIN_MS = 60000; // in which the same click means the same mute

const unsure = new Map(); // mutes that were asked for and may not be everywhere, by what was clicked

export const title = () => "Mutes";

export async function show(place, _, signal) {
  const list = el("section", { "aria-label": "Mutes" });
  const may = await mayChange();
  signal.throwIfAborted(); // another page is there by now
  refill(place, el("h1", {}, "Mutes"),
    el("p", { class: "soft" }, "What is muted is scored and kept as ever, and alarms nobody. Times are those of the events."),
    list, may ? el("section", {}, el("h2", {}, "A new one"), form(() => again())) : onlyLooks("mute, or to end a mute,"));
  const again = keepFresh({
    place: list, signal, period: 10000,
    load: async end => {
      const { items } = await get(PAGE, {}, end);
      await known; // what time it is
      return { items, minute: Math.floor(present() / 60) }; // what is left is told anew
    },
    draw: ({ items }) => refill(list,
      isReplay() && el("p", { class: "soft" }, `The newest event is of ${whenThere(present())}: “now” is then.`),
      items.length ? listed(items, may, () => again()) : nothing("Nothing is muted.")),
  });
}

/**
 * Mute. One that was not answered well may be there all the same: at another click soon after it is
 * sent as it was, with its id, so that it is one.
 */
async function sendMute(clicked, terms) {
  const before = unsure.get(clicked);
  const again = before && performance.now() - before.at < AGAIN_MS;
  const sent = again ? before : { at: performance.now(), terms: { ...terms, id: newId() } };
  unsure.set(clicked, sent);
  try {
    const told = await send("POST", PAGE, sent.terms);
    if (!told.unreachable.length) unsure.delete(clicked);
    return told;
  } catch (error) {
    if (error.status >= 400 && error.status < 500) unsure.delete(clicked); // refused
    throw error;
  }
}

const newId = () => [...crypto.getRandomValues(new Uint32Array(4))].map(n => n.toString(36)).join("-"); // randomUUID asks for TLS

/** What mutes a stream, and how to mute it from its newest event on, which `newest()` tells. */
export function ofStream(stream, detector, newest, items, may, changed) {
  const mute = seconds => {
    const from = newest();
    const start = new Date(from * 1000).toISOString();
    const end = seconds === null ? null : new Date((from + seconds) * 1000).toISOString();
    return sendMute(JSON.stringify([stream, detector, seconds]), { stream, detector, start, end }).then(told => { changed(); complain(told); });
  };
  return [
    items.length ? listed(items, may, changed) : el("p", { class: "soft" }, "Nothing mutes it."),
    may ? el("div", { class: "actions" }, el("span", {}, "Mute it from its newest event on, for"), FOR.map(([text, seconds]) => action(text, () => mute(seconds)))) : onlyLooks("mute it"),
    el("p", { class: "soft" }, "Patterns, features and windows that come again: ", el("a", { href: "#/mutes" }, "Mutes"), "."),
  ];
}

/** What concerns a stream; not `ours` is what the page's key may not remove, as it is of more streams than that. */
export async function mutesOf(stream, detector, signal) {
  const { items } = await get(PAGE, { stream, detector }, signal);
  const { detector: only, prefix } = await session.who();
  const ours = one => (only === null || only === one.detector) && (one.stream ?? (one.pattern ?? "").split(/[*?]/)[0]).startsWith(prefix);
  return items.map(one => ({ ...one, ours: ours(one) }));
}

function complain({ unreachable }) {
  if (unreachable.length) throw new Error(`did not reach ${unreachable.join(", ")}: try again`);
}

function listed(items, may, changed) {
  const remove = one => send("DELETE", `${PAGE}/${encodeURIComponent(one.id)}`).then(told => { changed(); complain(told); });
  return table("Mutes", [
    { title: "Streams", kind: "stream", cell: streams },
    { title: "Features", kind: "words", cell: one => one.features.map(nameOf).flatMap((name, n) => (n ? [", ", name] : [name])).concat(one.features.length ? [] : ["all"]) },
    { title: "Now", cell: one => holds(one, present()) },
    { title: `From (${zone()})`, kind: "time", cell: one => (one.start === null ? "always" : when(secondsOf(one.start))) },
    { title: "Until before", kind: "time", cell: one => (one.end === null ? "it is removed" : when(secondsOf(one.end))) },
    { title: "Again", cell: one => (one.every === null ? "no" : `every ${one.every}`) },
    { title: "Note", kind: "words", cell: one => (one.note ? nameOf(one.note) : "–") },
    ...(may ? [{ title: "Remove", kind: "said-itself", cell: one => one.ours !== false && action("Remove", () => remove(one), { "aria-label": `Remove the mute of ${one.stream ?? one.pattern ?? "all streams"}` }) }] : []),
  ], items);
}

/** Whether a mute holds, and until when; else when it holds next. */
function holds({ start: from, end: until, every }, now) {
  const start = from === null ? -Infinity : secondsOf(from);
  const end = until === null ? Infinity : secondsOf(until);
  const period = PERIODS[every] ?? Infinity;
  const turn = every === null || now < start ? 0 : Math.floor((now - start) / period) * period; // its newest window's
  if (now < start) return ["begins in ", el("strong", {}, lasted(start - now))];
  if (end === Infinity) return el("strong", {}, "holds until it is removed");
  const [last, next] = [end + turn, start + turn + period];
  if (now < last) return [el("strong", {}, "holds"), ` for ${lasted(last - now)} more, until ${when(last)}`];
  if (every === null) return el("span", { class: "soft" }, `over, ${lasted(now - last)} ago`);
  return ["again in ", el("strong", {}, lasted(next - now)), `: ${when(next)} until ${when(next + end - start)}`];
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
    const terms = {
      pattern: pattern.value, features: features.value.split(",").map(name => name.trim()).filter(Boolean),
      start: utc(start.value), end: utc(end.value), every: every.value || null, note: note.value || null,
    };
    const told = await sendMute(JSON.stringify(terms), terms);
    changed();
    complain(told);
  };
  return el("div", { class: "filters" },
    el("label", {}, "Streams, * for any characters", pattern), el("label", {}, "Features, with commas", features),
    el("label", {}, "From, UTC", start), el("label", {}, "Until before, UTC", end), el("label", {}, "Again", every),
    el("label", { class: "grow" }, "Note", note), action("Mute", add, { id: "mute-add" }));
}

const utc = text => (text ? `${text}Z` : null);
