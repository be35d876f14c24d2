// What a person says: of an episode, and of what a stream's alarms should be.

import { episodePath, get, send, session, streamPath } from "./api.js";
import { el, nameOf, trouble } from "./dom.js";
import { scoreText, secondsOf, whenThere } from "./format.js";
import { href } from "./route.js";

const LONGEST_SECONDS = 86400; // in which a missed anomaly is looked for
const NOTE_CHARACTERS = 2000;

/** A button that does something elsewhere; what went wrong is said beside it. */
export function action(text, does, attributes = {}) {
  const said = el("span", { role: "alert" });
  async function click() {
    button.disabled = true;
    said.replaceChildren();
    try {
      await does();
    } catch (error) {
      said.replaceChildren(trouble(error));
    }
    button.disabled = false;
  }
  const button = el("button", { type: "button", click, ...attributes }, text);
  return [button, said];
}

/** Whether the page's key may change anything: a viewer's may not. */
export const mayChange = () => session.who().then(({ role }) => role !== "viewer");

/** What a viewer reads in place of the buttons. */
export const onlyLooks = what => el("p", { class: "soft" }, `The page is open with a viewer's key: to ${what} asks for an operator's.`);

/**
 * What can be said of an episode: that somebody has seen it, a note, that it was no anomaly.
 * `tolerated` is the score up to which its stream's single events do not alarm, 0 or null for none;
 * `changed` is called when something was said.
 */
export function ofEpisode(episode, said, tolerated, may, changed) {
  const marked = said.find(one => one.kind === "false" && one.episode === episode.id && !one.undone);
  if (!may) return lookedAt(episode, marked);
  const remark = body => send("PATCH", episodePath(episode.id), body).then(changed);
  return [
    el("div", { class: "actions" },
      action(episode.acknowledged ? "✓ Acknowledged" : "Acknowledge", () => remark({ acknowledged: !episode.acknowledged }), { "aria-pressed": String(episode.acknowledged), id: "acknowledge" }),
      marked ? takeBack(episode, marked, changed) : action("Not an anomaly", () => mark(episode).then(changed), { id: "no-anomaly" })),
    el("p", { class: "soft" }, marked
      ? `Marked as no anomaly${tolerated ? `: a single event of this stream alarms only above a score of ${scoreText(tolerated)}` : ""}. The third anomalous one that follows within 200 events of another alarms as ever.`
      : `“Not an anomaly” lets a single event of this stream alarm only above about twice this score. It can be taken back.`),
    note(episode, remark),
  ];
}

function lookedAt(episode, marked) {
  const words = [episode.acknowledged && "acknowledged", marked && "marked as no anomaly"].filter(Boolean);
  return [
    el("p", {}, words.length ? `It is ${words.join(" and ")}.` : "Nobody has acknowledged it."),
    episode.note && el("p", {}, "Note: ", nameOf(episode.note)),
    onlyLooks("acknowledge it, note something, or mark it as no anomaly"),
  ];
}

const mark = episode => send("POST", feedbackPath(episode), { kind: "false", episode: episode.id });

const takeBack = (of, said, changed) =>
  action("Take back: it was an anomaly", () => send("DELETE", `${streamPath(of.stream)}/feedback/${said.id}?detector=${encodeURIComponent(of.detector)}`).then(changed));

const feedbackPath = of => `${streamPath(of.stream)}/feedback?detector=${encodeURIComponent(of.detector)}`;

function note(episode, remark) {
  const field = el("textarea", { id: "note", rows: 2, maxlength: NOTE_CHARACTERS });
  field.defaultValue = episode.note ?? ""; // what differs from it is not saved
  return el("div", { class: "note" },
    el("label", {}, episode.note ? "Note, as it is saved" : "Note", field),
    el("div", { class: "actions" }, action("Save the note", () => remark({ note: field.value }), { id: "save-note" })));
}

/** What was said of a stream, and that an anomaly in the time shown was missed; `range()` is that time, which moves on. */
export function ofStream(stream, detector, said, may, range, changed) {
  const seconds = lengthOf(range());
  const missed = () => {
    const shown = range();
    return send("POST", feedbackPath({ stream, detector }), { kind: "missed", time: String(shown.start), seconds: lengthOf(shown) }).then(changed);
  };
  return [
    said.length
      ? el("ul", { class: "said" }, said.map(one => el("li", {}, sentence(one), " ", may && !one.undone && takeBackOf(one, changed))))
      : el("p", { class: "soft" }, "Nothing was said of its alarms. On an episode's page: “Not an anomaly”."),
    !may ? onlyLooks("say that an anomaly was missed or was none") : seconds > 0 && seconds <= LONGEST_SECONDS
      ? el("div", { class: "actions" }, action("The highest score shown was a missed anomaly", missed, { id: "missed" }))
      : el("p", { class: "soft" }, "To say that an anomaly was missed, zoom to it: a day at most."),
  ];
}

const lengthOf = ({ start, end }) => end - start;

const takeBackOf = (one, changed) =>
  action("Take back", () => send("DELETE", `${streamPath(one.stream)}/feedback/${one.id}?detector=${encodeURIComponent(one.detector)}`).then(changed));

function sentence(one) {
  const at = el("strong", {}, whenThere(secondsOf(one.time)));
  const what = one.kind === "false"
    ? el("a", { href: href("episodes", one.episode) }, "was no anomaly")
    : "was a missed anomaly";
  return [el("span", { class: one.undone ? "undone" : null }, at, ` (score ${scoreText(one.score)}) `, what), one.undone && " · taken back"];
}

/** What was said of a stream, the newest first. */
export const saidOf = (stream, detector, signal) => get("feedback", { stream, detector, limit: 50 }, signal).then(({ items }) => items);
