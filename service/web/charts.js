// A stream's charts: its score, and each feature with what was expected of it, with one cursor.

import { get, streamPath } from "./api.js";
import { Chart } from "./chart.js";
import { colour, onChange } from "./colours.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { number, percent, scoreText, secondsOf, when, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { badge, severityOf, symbol } from "./severity.js";
import { table } from "./table.js";
import { outside } from "./words.js";

const POINTS = 1000;
const MOST_POINTS = 2000; // as many come together while the page is open; then all are read anew
const SHOWN_FIRST = 6; // features
const SHOWN_ROWS = 200;
const REST_MS = 120;
const COLUMNS = ["actual", "expected", "low", "high"];

let groups = 0;

/**
 * `range` is {start, end, span}: Unix seconds, `end` null while it is the newest part of a stream
 * that goes on, `span` then how long it is (null: all of it). `below` is put below the score.
 */
export class Charts {
  constructor(place, { stream, detector, range, signal, zoom, below = null }) {
    Object.assign(this, { place, stream, detector, range, signal, zoom, below });
    this.sync = `charts-${groups++}`;
    this.data = null;
    this.shares = new Map(); // of anomalous events that the cursor was at, by time
    this.episodes = [];
    this.parts = [];
    this.all = false;
    signal.addEventListener("abort", () => this.#clear());
    onChange(() => this.parts.forEach(part => part.chart.redraw()), signal);
    keepFresh({ place, signal, on: "now", period: 1000, load: end => this.#load(end), draw: told => this.#take(told) });
  }

  /** Shade these episodes. */
  mark(episodes) {
    this.episodes = episodes.map(one => ({ start: secondsOf(one.start), end: secondsOf(one.end), severity: one.severity }));
    for (const { chart } of this.parts) chart.redraw();
  }

  /** All of the range, or what is new since the last time. */
  async #load(end) {
    const newest = this.data?.times.at(-1);
    const whole = this.range.end !== null || newest === undefined || this.data.times.length > MOST_POINTS;
    const asked = { detector: this.detector, start: whole ? this.range.start : newest, end: this.range.end, points: POINTS };
    try {
      return { whole, ...(await get(`${streamPath(this.stream)}/scores`, asked, end)) };
    } catch (error) {
      if (error.status !== 404) throw error;
      return { whole, times: [], scores: [], features: {}, thinned: false, why: error.message };
    }
  }

  #take(told) {
    if (!told.times.length && !told.whole) return; // nothing new
    this.data = told.whole || !this.data ? told : joined(this.data, told);
    if (!this.data.times.length) {
      this.#clear();
      return refill(this.place, nothing(`Nothing to draw: ${told.why ?? "no event of this stream is in this range"}. Choose a longer range, or all.`));
    }
    this.#cut();
    const names = Object.keys(this.data.features).filter(name => has(this.data.features[name].actual));
    if (this.parts.length !== 1 + this.#wanted(names).length) this.#build(names);
    for (const part of this.parts) part.chart.draw(part.rows(this.data));
    this.#read(this.at ?? null);
    for (const part of this.parts) if (part.more.open) this.#list(part);
  }

  /** Let go of what is older than the range, where it moves. */
  #cut() {
    const { span } = this.range;
    const { times } = this.data;
    if (this.range.end !== null || span === null) return;
    this.range.start = times.at(-1) - span;
    const from = times.findIndex(time => time >= this.range.start);
    if (from > 0) this.data = mapped(this.data, column => column.slice(from));
  }

  #wanted(names) {
    return this.all ? names : names.slice(0, SHOWN_FIRST);
  }

  #build(names) {
    this.#clear();
    const order = byBlame(this.data, names);
    this.readout = el("p", { class: "readout", "aria-live": "off" });
    const figures = el("div", { class: "charts" });
    const rest = names.length - this.#wanted(names).length;
    const more = rest > 0 && el("button", { type: "button", id: "more-features", click: () => { this.all = true; this.#take({ ...this.data, whole: true }); } }, `Show ${rest} more features`);
    refill(this.place, legend(), this.readout, figures, more);
    this.parts = [this.#score(figures)];
    if (this.below) figures.append(this.below);
    this.parts.push(...this.#wanted(order).map(name => this.#feature(figures, name)));
  }

  #score(figures) {
    const series = [{ stroke: () => colour("--actual"), width: 1.5, marked: true, points: { show: false } }, { stroke: () => colour("--critical"), width: 1.5, dash: [6, 4], points: { show: false } }];
    return this.#part(figures, {
      heading: "Score", height: 140, series, floor: [0, 1.4],
      rows: data => [data.times, data.scores, data.times.map(() => 1)],
      told: (data, i) => [el("strong", {}, scoreText(data.scores[i])), " · threshold 1 · ", badge(severityOf(data.scores[i]))],
      columns: [{ title: "Score", kind: "n", cell: ({ data, i }) => scoreText(data.scores[i]) }],
    });
  }

  #feature(figures, name) {
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    const series = [
      edge, edge,
      { stroke: () => colour("--soft"), width: 1, dash: [3, 3], points: { show: false } },
      { stroke: () => colour("--actual"), width: 1.5, marked: true, points: { show: (u, _, from, to) => to - from < 60, size: 4 } },
    ];
    const column = (data, kind) => data.features[name]?.[kind] ?? data.times.map(() => null);
    return this.#part(figures, {
      heading: nameOf(name), label: name, height: 190, series, bands: [{ series: [2, 1], fill: () => colour("--band") }],
      rows: data => [data.times, ...["low", "high", "expected", "actual"].map(kind => column(data, kind))],
      told: (data, i) => featureTold({
        ...Object.fromEntries(COLUMNS.map(kind => [kind, column(data, kind)[i] ?? null])),
        share: this.shares.get(data.times[i])?.[name]?.share ?? null,
      }),
      columns: [["Actual", "actual"], ["Expected", "expected"], ["Low", "low"], ["High", "high"]].map(([title, kind]) => (
        { title, kind: "n", cell: ({ data, i }) => number(column(data, kind)[i]) })),
    });
  }

  #part(figures, { heading, label = "Score", height, series, bands, floor, rows, told, columns }) {
    const plot = el("div", { class: "plot" });
    const now = el("span", { class: "value" });
    const more = el("details", {}, el("summary", {}, "Show as table"));
    figures.append(el("figure", {}, el("figcaption", {}, el("h3", {}, heading), now), plot, more));
    const chart = new Chart(plot, {
      label: `${label} over time: arrow keys move the cursor`, height, series, bands, floor, sync: this.sync,
      span: () => this.#span(),
      marks: () => ({ episodes: this.episodes, scores: this.data?.scores ?? [] }),
      on: { move: index => this.#read(index), keyed: () => this.readout.setAttribute("aria-live", "polite"), zoom: this.zoom },
    });
    const part = { chart, rows, told, now, more, columns, label };
    more.addEventListener("toggle", () => more.open && this.#list(part));
    plot.addEventListener("pointermove", () => this.readout.setAttribute("aria-live", "off"));
    return part;
  }

  #span() {
    if (!this.data?.times.length) return [0, 1];
    const start = this.range.start ?? this.data.times[0];
    const end = this.range.end ?? this.data.times.at(-1);
    return end > start ? [start, end] : [start - 30, start + 30];
  }

  /** What is at the cursor; without one, at the newest event, or at the worst of a time that is over. */
  #read(index) {
    this.at = index;
    this.#write(index ?? this.#default());
  }

  #default() {
    const { scores, times } = this.data;
    return this.range.end === null ? times.length - 1 : scores.indexOf(Math.max(...scores));
  }

  #write(index) {
    const i = Math.min(index, this.data.times.length - 1);
    const score = this.data.scores[i];
    const values = this.parts.slice(1).map(part => `${part.label} ${number(this.data.features[part.label]?.actual[i])}`);
    refill(this.readout,
      el("strong", {}, `${when(this.data.times[i])} ${zone()}`), this.at === null ? (this.range.end === null ? " (newest)" : " (highest score)") : "", ` · score ${scoreText(score)}, ${severityOf(score)}`,
      el("span", { class: "unseen" }, ` · ${values.join(" · ")}`),
      this.data.thinned ? el("span", { class: "soft" }, " · thinned: of each short time the most surprising event") : "");
    for (const part of this.parts) part.now.replaceChildren(...[part.told(this.data, i)].flat());
    if (score >= 1) this.#askShares(this.data.times[i], index);
  }

  /** Only anomalies say how much of the surprise each feature had: asked for once the cursor rests. */
  #askShares(time, index) {
    clearTimeout(this.resting);
    if (this.shares.has(time)) return;
    this.resting = setTimeout(async () => {
      const asked = { stream: this.stream, detector: this.detector, start: time - 0.001, end: time + 0.001, limit: 1 };
      const { items } = await get("anomalies", asked, this.signal).catch(() => ({ items: [] })); // shown without
      this.shares.set(time, items[0]?.features ?? {});
      if (!this.signal.aborted && this.parts.length && (this.at ?? this.#default()) === index) this.#write(index);
    }, REST_MS);
  }

  #list(part) {
    const { data } = this;
    const rows = data.times.map((_, i) => ({ data, i })).reverse().slice(0, SHOWN_ROWS);
    const time = { title: `Time (${zone()})`, cell: ({ i }) => when(data.times[i]) };
    const cut = data.times.length > SHOWN_ROWS && el("p", { class: "soft" }, `The newest ${SHOWN_ROWS} of ${data.times.length}; choose a shorter range for the others.`);
    const body = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${part.label} as a table` }, table(part.label, [time, ...part.columns], rows));
    part.more.replaceChildren(part.more.firstElementChild, body, cut || "");
  }

  #clear() {
    for (const { chart } of this.parts) chart.destroy();
    this.parts = [];
  }
}

function featureTold({ actual, expected, low, high, share }) {
  if (actual === null) return ["no value"];
  const band = expected === null ? "nothing expected yet" : `expected ${number(low)} to ${number(high)}`;
  const off = outside({ actual, low, high }) !== 0;
  return [
    el("strong", { class: off ? "off" : null }, number(actual)), ` · ${band}`,
    share === null ? "" : el("span", { class: "share" }, ` · ${percent(share)} of the surprise`, meter(share)),
  ];
}

export function meter(share) {
  const fill = el("span", {});
  fill.style.width = `${100 * share}%`;
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

/** A detector's features are not all of this stream. */
const has = column => column.some(value => value !== null);

/** Features, those first that were furthest outside of their band when an event was anomalous. */
function byBlame({ scores, features }, names) {
  const blame = ({ actual, low, high }) => scores.reduce((most, score, i) => (
    score >= 1 ? Math.max(most, Math.abs(outside({ actual: actual[i], low: low[i], high: high[i] }))) : most), 0);
  const found = names.map(name => [name, blame(features[name])]);
  return found.sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

/** Old data and the newer part, whose first time is the old one's last. */
function joined(old, fresh) {
  const kept = old.times.findLastIndex(time => time < (fresh.times[0] ?? Infinity)) + 1;
  const nulls = n => Array(n).fill(null);
  const join = (a, b) => [...(a ?? nulls(old.times.length)).slice(0, kept), ...(b ?? nulls(fresh.times.length))];
  const names = new Set([...Object.keys(old.features), ...Object.keys(fresh.features)]);
  const features = [...names].map(name => [name, Object.fromEntries(COLUMNS
    .filter(kind => old.features[name]?.[kind] || fresh.features[name]?.[kind])
    .map(kind => [kind, join(old.features[name]?.[kind], fresh.features[name]?.[kind])]))]);
  return { times: join(old.times, fresh.times), scores: join(old.scores, fresh.scores), features: Object.fromEntries(features), thinned: old.thinned || fresh.thinned };
}

function mapped(data, change) {
  const features = Object.entries(data.features).map(([name, columns]) => [name, Object.fromEntries(Object.entries(columns).map(([kind, column]) => [kind, change(column)]))]);
  return { ...data, times: change(data.times), scores: change(data.scores), features: Object.fromEntries(features) };
}

function legend() {
  return el("p", { class: "legend", "aria-hidden": "true" },
    el("span", {}, el("i", { class: "line" }), "actual"), el("span", {}, el("i", { class: "line dashed" }), "expected"),
    el("span", {}, el("i", { class: "area" }), "expected band (99 % of normal values)"),
    ["minor", "major", "critical"].map(name => el("span", { class: name }, symbol(name), `${name} anomaly`)),
    el("span", {}, el("i", { class: "shade" }), "episode"), el("span", { class: "soft" }, "drag to zoom"));
}
