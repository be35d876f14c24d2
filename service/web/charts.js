// A stream's charts: its score, and each feature with what was expected of it, with one cursor.

import { get, streamPath } from "./api.js";
import { Chart } from "./chart.js";
import { colour, onChange } from "./colours.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { keptScore, number, percent, plural, scoreText, secondsOf, when, whenThere, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { badge, severityOf, symbol } from "./severity.js";
import { table } from "./table.js";
import { outside } from "./words.js";

const POINTS = 1000;
const MOST_POINTS = 2000; // as many come together while the page is open; then all are read anew
const SHOWN_FIRST = 6; // features
const KEPT_TO = 0.03; // scores beside events are kept to 2 % of 1 + score, downwards
const MOST_ANOMALIES = 1000; // of one answer, of which it is known what was to blame
const LEAST_SHARE = 0.2; // of the surprise, with which a feature is marked; the largest is in any case
const FAINT = 0.35;
const SHOWN_ROWS = 200;
const REST_MS = 120;
const COLUMNS = ["actual", "expected", "low", "high"];

let groups = 0;

/**
 * `range` is {start, end, span}: Unix seconds, `end` null while it is the newest part of a stream
 * that goes on, `span` then how long it is (null: all of it). `below` is put below the score;
 * `first`: features that are shown at first, those to blame most.
 */
export class Charts {
  constructor(place, { stream, detector, range, signal, zoom, below = null, first = SHOWN_FIRST }) {
    Object.assign(this, { place, stream, detector, range, signal, zoom, below, first });
    this.sync = `charts-${groups++}`;
    this.data = null;
    this.exact = new Map(); // events as they were told, by time in ms: what charts draw is rounded
    this.anomalies = new Map(); // {shares, suppressed}, by time in ms
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

  /** What is known of an event exactly: an anomaly, or as much of one. */
  tell(event) {
    const at = Math.round(1000 * secondsOf(event.time));
    if (this.exact.get(at)?.id) return; // it is an anomaly, and all is known
    if (this.exact.size >= MOST_POINTS) this.exact.clear();
    this.exact.set(at, event);
    if (!this.parts.length) return;
    this.#include(event);
    for (const part of this.parts) part.chart.draw(part.rows(this.data));
    this.#read(this.at ?? null);
  }

  /** Have an anomaly among what is drawn, also where thinning left it out. */
  #include(event) {
    const time = secondsOf(event.time);
    const { times } = this.data;
    if (!event.id || !this.data.thinned || !(time >= times[0] && time <= times.at(-1))) return;
    if (times.some((_, i) => this.#told(this.data, i) === event)) return;
    this.data = including(this.data, time, event);
  }

  /** What was told of event i, if it is known. */
  #told(data, i) {
    const at = Math.round(1000 * data.times[i]);
    const like = event => event && Math.abs(event.score - data.scores[i]) <= KEPT_TO * (1 + event.score);
    return [at, at - 1, at + 1].map(ms => this.exact.get(ms)).find(like) ?? null; // times are kept rounded, too
  }

  #scoreOf(data, i) {
    const event = this.#told(data, i);
    return event ? scoreText(event.score) : keptScore(data.scores[i]);
  }

  /** All of the range, or what is new since the last time. */
  async #load(end) {
    const newest = this.data?.times.at(-1);
    const whole = this.range.end !== null || newest === undefined || this.data.times.length > MOST_POINTS;
    const asked = { detector: this.detector, start: whole ? this.range.start : newest, end: this.range.end, points: POINTS };
    try {
      const scores = await get(`${streamPath(this.stream)}/scores`, asked, end);
      await this.#learn(scores, whole, end);
      return { whole, ...scores };
    } catch (error) {
      if (error.status !== 404) throw error;
      return { whole, times: [], scores: [], features: {}, thinned: false, why: error.message };
    }
  }

  /** What was to blame for the anomalous events among these; without it, bands have to tell. */
  async #learn({ times, scores }, whole, end) {
    const at = times.filter((_, i) => scores[i] >= 1);
    if (whole) this.more = false;
    if (!at.length) return;
    const asked = { stream: this.stream, detector: this.detector, start: at[0] - 0.001, end: at.at(-1) + 0.002, limit: MOST_ANOMALIES };
    const { items, next_cursor: more } = await get("anomalies", asked, end).catch(() => ({ items: [], next_cursor: null }));
    if (whole) this.anomalies = new Map();
    this.more ||= more !== null;
    for (const { time, score, suppressed, features } of items) {
      const ms = Math.round(1000 * secondsOf(time)); // of several at one time the worst is drawn
      if (this.anomalies.get(ms)?.score > score) continue;
      this.anomalies.set(ms, { score, suppressed, shares: Object.fromEntries(Object.entries(features).map(([name, one]) => [name, one.share])) });
    }
  }

  /** What is known of anomalous event i: whether it was suppressed, and each feature's share. */
  #anomaly(data, i) {
    const at = Math.round(1000 * data.times[i]);
    return [at, at - 1, at + 1].map(ms => this.anomalies.get(ms)).find(Boolean) ?? { suppressed: null, shares: farOff(data, i) };
  }

  /** How strongly anomalous events are marked: in the score's chart all, in a feature's those that it is to blame for. */
  #weights(name) {
    return (this.data?.scores ?? []).map((score, i) => {
      if (!(score >= 1)) return 0;
      const { suppressed, shares } = this.#anomaly(this.data, i);
      const least = Math.min(LEAST_SHARE, Math.max(...Object.values(shares)));
      if (name !== null && !(shares[name] > 0 && shares[name] >= least)) return 0;
      return suppressed ? FAINT : 1;
    });
  }

  /** How many of the anomalous events shown alarm nobody, and why. */
  #suppressed() {
    const [from, until] = [this.data.times[0], this.data.times.at(-1)].map(time => Math.round(1000 * time));
    const shown = [...this.anomalies].filter(([ms]) => ms >= from && ms <= until).map(([, one]) => one);
    const counted = ["rule", "mute"].map(by => [by, shown.filter(one => one.suppressed === by).length]).filter(([, n]) => n);
    if (!counted.length) return "";
    const told = counted.map(([by, n]) => `${plural(n, "anomalous event")} here ${n === 1 ? "was" : "were"} suppressed by a ${by}`);
    return `${this.more ? "At least " : ""}${told.join(", ")}: drawn faint, and nobody was told.`;
  }

  /** Features, the one to blame most first. */
  #byBlame(names) {
    const sums = Object.fromEntries(names.map(name => [name, 0]));
    this.data.scores.forEach((score, i) => {
      if (!(score >= 1)) return;
      const { suppressed, shares } = this.#anomaly(this.data, i);
      for (const name of names) if (!suppressed) sums[name] += score * (shares[name] ?? 0);
    });
    return names.toSorted((a, b) => sums[b] - sums[a]);
  }

  #take(told) {
    if (!told.times.length && !told.whole) return; // nothing new
    this.data = told.whole || !this.data ? told : joined(this.data, told);
    if (!this.data.times.length) {
      this.#clear();
      return refill(this.place, nothing(`Nothing to draw: ${told.why ?? "no event of this stream is in this range"}. Choose a longer range, or all.`));
    }
    this.#cut();
    for (const event of this.exact.values()) this.#include(event);
    const names = Object.keys(this.data.features).filter(name => has(this.data.features[name].actual));
    if (this.parts.length !== 1 + this.#wanted(names).length) this.#build(names);
    for (const part of this.parts) part.chart.draw(part.rows(this.data));
    this.#read(this.at ?? null);
    refill(this.silent, this.#suppressed());
    for (const part of this.parts) if (part.more.open) this.#list(part);
  }

  /** Let go of what is older than the range, where it moves. */
  #cut() {
    const { span } = this.range;
    const { times } = this.data;
    if (this.range.end !== null || span === null) return;
    this.range.start = Math.max(0, times.at(-1) - span);
    const from = times.findIndex(time => time >= this.range.start);
    if (from > 0) this.data = mapped(this.data, column => column.slice(from));
  }

  #wanted(names) {
    return this.all ? names : names.slice(0, this.first);
  }

  #build(names) {
    this.#clear();
    const order = this.#byBlame(names);
    this.readout = el("p", { class: "readout", "aria-live": "off" });
    this.silent = el("p", { class: "soft", id: "suppressed" });
    const figures = el("div", { class: "charts" });
    const rest = names.length - this.#wanted(names).length;
    const more = rest > 0 && el("button", { type: "button", id: "more-features", click: () => { this.all = true; this.#take({ ...this.data, whole: true }); } }, `Show ${plural(rest, "more feature")}`);
    refill(this.place, legend(), this.silent, this.readout, figures, more);
    this.parts = [this.#score(figures)];
    if (this.below) figures.append(this.below);
    this.parts.push(...this.#wanted(order).map(name => this.#feature(figures, name)));
  }

  #score(figures) {
    const series = [{ stroke: () => colour("--actual"), width: 1.5, marked: true, points: { show: false } }, { stroke: () => colour("--critical"), width: 1.5, dash: [6, 4], points: { show: false } }];
    return this.#part(figures, {
      heading: "Score", height: 140, series, floor: [0, 1.4], blamed: null,
      rows: data => [data.times, data.scores, data.times.map(() => 1)],
      told: (data, i) => [el("strong", {}, this.#scoreOf(data, i)), " · threshold 1 · ", badge(severityOf(data.scores[i]))],
      columns: [{ title: "Score", kind: "n", cell: ({ data, i }) => this.#scoreOf(data, i) }],
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
      heading: nameOf(name), label: name, blamed: name, height: 190, series, bands: [{ series: [2, 1], fill: () => colour("--band") }],
      rows: data => [data.times, ...["low", "high", "expected", "actual"].map(kind => column(data, kind))],
      told: (data, i) => featureTold({
        ...Object.fromEntries(COLUMNS.map(kind => [kind, column(data, kind)[i] ?? null])),
        ...this.#told(data, i)?.features[name],
      }),
      columns: [["Actual", "actual"], ["Expected", "expected"], ["Low", "low"], ["High", "high"]].map(([title, kind]) => (
        { title, kind: "n", cell: ({ data, i }) => number(column(data, kind)[i]) })),
    });
  }

  #part(figures, { heading, label = "Score", blamed, height, series, bands, floor, rows, told, columns }) {
    const plot = el("div", { class: "plot" });
    const now = el("span", { class: "value" });
    const more = el("details", {}, el("summary", {}, "Show as table"));
    figures.append(el("figure", {}, el("figcaption", {}, el("h3", {}, heading), now), plot, more));
    const chart = new Chart(plot, {
      label: `${label} over time: arrow keys move the cursor`, height, series, bands, floor, sync: this.sync,
      span: () => this.#span(),
      marks: () => ({ episodes: this.episodes, scores: this.data?.scores ?? [], weights: this.#weights(blamed) }),
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
    if (this.range.end === null) return times.length - 1;
    const known = scores.map((score, i) => this.#told(this.data, i)?.score ?? score); // equal ones may differ
    return known.indexOf(Math.max(...known));
  }

  #write(index) {
    const i = Math.min(index, this.data.times.length - 1);
    const score = this.data.scores[i];
    const values = this.parts.slice(1).map(part => `${part.label} ${number(this.data.features[part.label]?.actual[i])}`);
    refill(this.readout,
      el("strong", {}, whenThere(this.data.times[i])), this.at === null ? (this.range.end === null ? " (newest)" : " (highest score)") : "", ` · score ${this.#scoreOf(this.data, i)}, ${severityOf(score)}`,
      el("span", { class: "unseen" }, ` · ${values.join(" · ")}`),
      this.data.thinned ? el("span", { class: "soft" }, " · thinned: of each short time the most surprising event") : "");
    for (const part of this.parts) part.now.replaceChildren(...[part.told(this.data, i)].flat());
    clearTimeout(this.resting);
    if (score >= 1 && !this.#told(this.data, i)?.id) this.resting = setTimeout(() => this.#ask(this.data.times[i]), REST_MS);
  }

  /** Anomalies are told exactly, with each feature's share: asked for once the cursor rests. */
  async #ask(time) {
    if (this.asked === time) return; // and there was none
    this.asked = time;
    const asked = { stream: this.stream, detector: this.detector, start: time - 0.001, end: time + 0.001, limit: 1 };
    const { items } = await get("anomalies", asked, this.signal).catch(() => ({ items: [] })); // shown without
    if (items.length && !this.signal.aborted) this.tell(items[0]);
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

function featureTold({ actual, expected = null, low, high, share }) {
  if (actual === null) return ["no value"];
  const band = expected === null ? "nothing expected yet" : `expected ${number(low)} to ${number(high)}`;
  const off = outside({ actual, low, high }) !== 0;
  return [
    el("strong", { class: off ? "off" : null }, number(actual)), ` · ${band}`,
    share === undefined ? "" : el("span", { class: "share" }, ` · ${percent(share)} of the surprise`, meter(share)),
  ];
}

export function meter(share) {
  const fill = el("span", {});
  fill.style.width = `${100 * share}%`;
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

/** A detector's features are not all of this stream. */
const has = column => column.some(value => value !== null);

/** Each feature's part of how far an event was outside of its bands: where no more is known of it. */
function farOff({ features }, i) {
  const far = Object.entries(features).map(([name, { actual, low, high }]) => [name, Math.abs(outside({ actual: actual[i], low: low[i], high: high[i] }))]);
  const sum = far.reduce((all, [, size]) => all + size, 0);
  return Object.fromEntries(far.map(([name, size]) => [name, sum > 0 ? size / sum : 0]));
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

function including(data, time, event) {
  const at = data.times.findLastIndex(one => one <= time) + 1;
  const put = (column, value) => column.toSpliced(at, 0, value ?? null);
  const features = Object.entries(data.features).map(([name, columns]) => [name, Object.fromEntries(Object.entries(columns).map(([kind, column]) => [kind, put(column, event.features[name]?.[kind])]))]);
  return { ...data, times: put(data.times, time), scores: put(data.scores, event.score), features: Object.fromEntries(features) };
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
    el("span", { class: "soft" }, "of a feature: where it is to blame"),
    el("span", {}, el("i", { class: "shade" }), "episode"), el("span", { class: "soft" }, "drag to zoom"));
}
