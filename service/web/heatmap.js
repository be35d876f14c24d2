// Streams by time: the highest score of each cell as a bar, its height and its colour by severity.

import { colour, onChange } from "./colours.js";
import { el, nameOf, refill } from "./dom.js";
import { keptScore, when, zone } from "./format.js";
import { streamLink } from "./route.js";
import { badge, severityOf } from "./severity.js";
import { table } from "./table.js";

const HEIGHT = 30;
const FULL = 3; // the score of a bar of full height
const GAP = 1;
const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };

/** Null where no score is kept by the instance that was asked: another one may have the stream. */
function highestOf({ scores }) {
  const kept = scores.filter(score => score !== null);
  return kept.length ? Math.max(...kept) : null;
}

/** `map` is what api/v1/heatmap says; the row with the highest score comes first. */
export class HeatMap {
  constructor(place, signal) {
    this.place = place;
    this.cell = null; // the column of the cursor
    this.rows = [];
    const redraw = () => this.rows.forEach(row => this.#paint(row));
    this.resized = new ResizeObserver(redraw);
    signal.addEventListener("abort", () => this.resized.disconnect());
    onChange(redraw, signal);
  }

  draw(map, detector, range) {
    this.map = map;
    this.resized.disconnect();
    const rows = map.rows.map(row => ({ ...row, highest: highestOf(row) })).sort((a, b) => (b.highest ?? -1) - (a.highest ?? -1));
    this.rows = rows.map((row, n) => this.#row(row, n, streamLink(row.stream, { detector, range })));
    this.readout = el("p", { class: "readout", "aria-live": "polite" }, "Each bar is the highest score in its time; the line is the threshold.");
    const more = el("details", { id: "heat-table" }, el("summary", { id: "heat-as-table" }, "Show as table"));
    more.addEventListener("toggle", () => more.open && this.#list(more));
    refill(this.place, this.readout, el("table", { class: "heat" },
      el("caption", { class: "unseen" }, "Streams, that with the highest score first, and their scores over time"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Stream"), el("th", { scope: "col" }, "Highest"), el("th", { scope: "col", class: "axis" }, this.#axis()))),
      el("tbody", {}, this.rows.map(row => row.line))), more);
    for (const { canvas } of this.rows) this.resized.observe(canvas);
  }

  #axis() {
    const { start, end } = this.map;
    return [start, (start + end) / 2, end].map(time => el("span", {}, when(time).slice(0, 16)));
  }

  #row({ stream, scores, highest }, n, href) {
    const canvas = el("canvas", { height: HEIGHT, "aria-hidden": "true" });
    const link = el("a", { href, keydown: event => this.#key(event, n) }, nameOf(stream));
    const line = el("tr", {},
      el("th", { scope: "row" }, link),
      el("td", { "data-name": "highest score" }, highest === null ? el("span", { class: "soft" }, "– none kept here") : badge(severityOf(highest), keptScore(highest))),
      el("td", { class: "strip" }, canvas));
    const row = { stream, scores, canvas, link, line };
    canvas.addEventListener("pointermove", event => this.#point(row, this.#at(event)));
    canvas.addEventListener("pointerleave", () => this.#point(row, null));
    canvas.addEventListener("click", () => link.click());
    return row;
  }

  #at(event) {
    return Math.min(this.map.columns - 1, Math.max(0, Math.floor((event.offsetX / event.currentTarget.clientWidth) * this.map.columns)));
  }

  #paint(row) {
    const { canvas, scores } = row;
    const ratio = devicePixelRatio;
    const width = canvas.clientWidth;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const step = width / this.map.columns;
    const y = score => HEIGHT - Math.max(2, (Math.min(score, FULL) / FULL) * HEIGHT);
    scores.forEach((score, i) => {
      if (score === null) return;
      const severity = severityOf(score);
      context.fillStyle = colour(severity === "normal" ? "--quiet" : `--${severity}`);
      context.fillRect(i * step, y(score), Math.max(1, step - GAP), HEIGHT);
    });
    context.fillStyle = colour("--grid");
    context.fillRect(0, Math.round(y(1)) - 0.5, width, 1);
    if (row.pointed === undefined || row.pointed === null) return;
    context.strokeStyle = colour("--text");
    context.strokeRect(row.pointed * step + 0.5, 0.5, Math.max(1, step - 1), HEIGHT - 1);
  }

  #point(row, column) {
    row.pointed = column;
    this.#paint(row);
    if (column === null) return;
    const size = (this.map.end - this.map.start) / this.map.columns;
    const from = this.map.start + column * size;
    const score = row.scores[column] ?? null;
    this.readout.replaceChildren(
      nameOf(row.stream), ` · ${when(from)} to ${when(from + size).slice(11)} ${zone(from)} · `,
      score === null ? "no event is kept here" : `highest score ${keptScore(score)}, ${severityOf(score)}`);
  }

  #key(event, n) {
    if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [down, right] = KEYS[event.key];
    const last = this.map.columns - 1;
    this.cell = Math.min(last, Math.max(0, (this.cell ?? last + (right < 0 ? 1 : 0)) + right * (event.shiftKey ? 10 : 1)));
    const to = this.rows[Math.min(this.rows.length - 1, Math.max(0, n + down))];
    if (to !== this.rows[n]) this.#point(this.rows[n], null);
    to.link.focus();
    this.#point(to, this.cell);
  }

  #list(more) {
    const { start, end, columns } = this.map;
    const time = i => when(start + ((end - start) * i) / columns);
    const told = this.rows.flatMap(({ stream, scores }) => scores.map((score, i) => ({ stream, score, i }))).filter(({ score }) => score >= 1);
    const shown = told.sort((a, b) => b.score - a.score);
    const body = shown.length
      ? table("Cells at or above the threshold, the highest first", [
        { title: "Stream", cell: one => nameOf(one.stream) },
        { title: `From (${zone()})`, cell: one => time(one.i) },
        { title: "Highest score", kind: "n", cell: one => keptScore(one.score) },
        { title: "Severity", cell: one => badge(severityOf(one.score)) },
      ], shown)
      : el("p", {}, "No score here reaches the threshold.");
    more.replaceChildren(more.firstElementChild, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores as a table" }, body));
  }
}
