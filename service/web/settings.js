// Detectors and their artifacts, and how this page looks.

import { get, session } from "./api.js";
import { changed } from "./colours.js";
import { el, facts, nameOf, nothing, refill } from "./dom.js";
import { bytes, count, number } from "./format.js";
import { keepFresh } from "./fresh.js";

export const title = () => "Settings";

export function show(place, _, signal) {
  const list = el("div");
  refill(place, el("h1", {}, "Settings"), look(), el("section", {}, el("h2", {}, "Detectors"), list), links());
  keepFresh({
    place: list, signal, period: 10000,
    load: end => get("detectors", {}, end),
    draw: ({ items }) => refill(list, items.length ? items.map(described) : nothing("No detector is configured.")),
  });
}

function look() {
  const who = el("p", { class: "who" });
  tellWho(who);
  return el("section", { class: "card" },
    el("h2", {}, "This page"),
    el("div", { class: "filters" },
      radios("Theme", "theme", [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]], value => {
        document.documentElement.dataset.theme = value;
        changed();
      }),
      radios("Times", "times", [["utc", "UTC"], ["local", "Local"]]),
      who));
}

/** Whose key the page shows, where one is asked for. */
async function tellWho(place) {
  const who = await session.who().catch(() => null); // without a key the page asks for one
  if (who === null || who.id === "local") return;
  const scope = [who.detector && `of the detector ${who.detector}`, who.prefix && `of streams ${who.prefix}…`].filter(Boolean).join(", ");
  refill(place, "Opened as ", el("strong", {}, nameOf(who.name)), `, ${who.role}${scope ? ` ${scope}` : ""} `,
    el("button", { type: "button", click: () => session.end().then(() => location.reload()) }, "Forget the key"));
}

/** A choice that this browser keeps. */
function radios(label, key, options, apply = () => {}) {
  const chosen = localStorage.getItem(key) ?? options[0][0];
  const change = event => {
    localStorage.setItem(key, event.target.value);
    apply(event.target.value);
  };
  return el("fieldset", {}, el("legend", {}, label), options.map(([value, text]) =>
    el("label", { class: "radio" }, el("input", { type: "radio", name: key, id: `${key}-${value}`, value, checked: value === chosen, change }), text)));
}

function described(detector) {
  return el("article", { class: "card" },
    el("h3", {}, nameOf(detector.name)),
    facts([
      ["Streams with a memory here", count(detector.streams)],
      ["Promised false alarms", `${number(detector.false_alarms_per_week)} per stream and week`],
      ["Features", detector.features.length ? detector.features.join(", ") : "none found so far"],
      ["Rules", Object.entries(detector.rules).map(([feature, rule]) => `${feature}: ${ruled(rule)}`).join("; ") || "none"],
      ["Topics", detector.topics.join(", ") || "the embedded log"],
      ["Memory of one stream", bytes(detector.memory_bytes)],
    ]),
    artifact("Artifact", detector.artifact),
    detector.replaces && artifact("Replaces, and speaks until the new memory is warm", detector.replaces));
}

/** What of a rule is set, in its own words. */
const ruled = rule => Object.entries(rule).filter(([, value]) => value !== null && value !== 0).map(([name, value]) => `${name.replaceAll("_", " ")} ${Array.isArray(value) ? `${number(value[0])} to ${number(value[1])}` : number(value)}`).join(", ");

function artifact(heading, told) {
  const training = Object.entries(told.training);
  return [
    el("h4", {}, heading),
    facts([
      ["Fingerprint", el("code", {}, told.fingerprint)],
      ["Predictor", `${told.predictor}, ${count(told.hidden)} units`],
      ["Reads", told.features === null ? "any feature, each for itself" : told.features.join(", ")],
      ["Categories", told.categories.join(", ") || "none"],
      ["Views", told.views.join(", ")],
    ]),
    training.length > 0 && el("details", {}, el("summary", {}, "Training"), facts(training.map(([name, value]) => [name.replaceAll("_", " "), plain(value)]))),
  ];
}

const plain = value => (typeof value === "number" ? number(value) : typeof value === "string" ? value : JSON.stringify(value));

function links() {
  return el("section", {}, el("h2", {}, "More"), el("ul", {},
    el("li", {}, el("a", { href: "#/api" }, "The API, described")),
    el("li", {}, el("a", { href: "openapi.json" }, "The same for programs (openapi.json)")),
    el("li", {}, el("a", { href: "metrics" }, "Metrics for Prometheus"))));
}
