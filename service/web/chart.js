// One chart over time: a thin layer over uPlot, which is loaded as a classic script.

import { colour } from "./colours.js";
import { isLocal, number } from "./format.js";
import { SHAPES, severityOf } from "./severity.js";

const { uPlot } = window;

// [smallest step, format, at a new year, month, day, hour, minute, second, mode]: 24 hours.
const TIMES = [
  [86400 * 365, "{YYYY}", null, null, null, null, null, null, 1],
  [86400 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];
const CROWD = 40; // anomalous events; more are drawn smaller
const STEPS = { Home: -Infinity, End: Infinity, ArrowLeft: -1, ArrowRight: 1 };

/**
 * A chart in `place`. `series` are uPlot's without the first; `span()` gives [start, end] of what is
 * shown, `marks()` {episodes, scores, weights} to draw, a weight of 0 for an event without a mark;
 * `on.move(index)` and `on.zoom(start, end)` are called.
 */
export class Chart {
  constructor(place, { label, height, series, bands, floor, sync, span, marks, on }) {
    this.place = place;
    this.on = on;
    this.marks = marks;
    this.marked = series.findIndex(one => one.marked) + 1;
    place.tabIndex = 0;
    place.setAttribute("role", "application"); // arrow keys are ours, not the screen reader's
    place.setAttribute("aria-label", label);
    this.plot = new uPlot(this.#options({ height, series, bands, floor, sync, span }), [[], ...series.map(() => [])], place);
    this.resized = new ResizeObserver(() => this.plot.setSize({ width: place.clientWidth, height }));
    this.resized.observe(place);
    place.addEventListener("keydown", event => this.#key(event));
  }

  draw(data) {
    this.plot.setData(data);
  }

  redraw() {
    this.plot.redraw(false);
  }

  destroy() {
    this.resized.disconnect();
    this.plot.destroy();
  }

  #options({ height, series, bands, floor, sync, span }) {
    const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const values = (_, ticks) => ticks.map(number);
    return {
      width: this.place.clientWidth || 600,
      height,
      series: [{}, ...series],
      bands,
      legend: { show: false },
      tzDate: seconds => (isLocal() ? new Date(seconds * 1000) : uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC")),
      scales: { x: { range: () => span() }, y: { range: (_, low, high) => padded(low, high, floor) } },
      axes: [{ ...axis, values: TIMES, space: 70, size: 42 }, { ...axis, values, size: 64, space: 34 }],
      padding: [10, 12, 0, 0],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: { size: 8 },
        sync: { key: sync, filters: { pub: type => type.startsWith("mousemove") || type === "mouseleave" } },
      },
      hooks: { drawClear: [() => this.#shade()], draw: [() => this.#mark()], setSelect: [() => this.#zoom()], setCursor: [u => this.on.move(u.cursor.idx)] },
    };
  }

  /** Behind everything: the time of the episodes, with a bar on top in their severity's colour. */
  #shade() {
    const { ctx, bbox } = this.plot;
    const ratio = devicePixelRatio;
    for (const { start, end, severity } of this.marks().episodes) {
      const left = Math.max(bbox.left, this.plot.valToPos(start, "x", true) - 2 * ratio);
      const right = Math.min(bbox.left + bbox.width, this.plot.valToPos(end, "x", true) + 2 * ratio);
      if (right <= left) continue;
      ctx.fillStyle = colour(`--${severity}-tint`);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.fillStyle = colour(`--${severity}`);
      ctx.fillRect(left, bbox.top, right - left, 3 * ratio);
    }
  }

  /** In front: a shape at each anomalous event. */
  #mark() {
    const { ctx, data } = this.plot;
    const { scores, weights } = this.marks();
    const inks = {};
    const shapes = {};
    const size = devicePixelRatio * (scores.filter(score => score >= 1).length > CROWD ? 0.55 : 0.85);
    ctx.save();
    for (let i = 0; i < scores.length; i++) {
      const value = data[this.marked][i];
      if (!weights[i] || value === null || value === undefined) continue;
      const severity = severityOf(scores[i]);
      ctx.globalAlpha = weights[i];
      ctx.fillStyle = inks[severity] ??= colour(`--${severity}`);
      ctx.setTransform(size, 0, 0, size, this.plot.valToPos(data[0][i], "x", true), this.plot.valToPos(value, "y", true));
      ctx.fill(shapes[severity] ??= new Path2D(SHAPES[severity]));
    }
    ctx.restore();
  }

  #zoom() {
    const { left, width } = this.plot.select;
    if (width < 4) return;
    const [start, end] = [left, left + width].map(at => this.plot.posToVal(at, "x"));
    this.plot.setSelect({ left: 0, width: 0 }, false);
    this.on.zoom(start, end);
  }

  #key(event) {
    const step = STEPS[event.key];
    const times = this.plot.data[0];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey || !times.length) return;
    event.preventDefault();
    const here = this.plot.cursor.idx ?? times.length - (step < 0 ? 0 : 1);
    this.moveTo(Math.min(times.length - 1, Math.max(0, here + step * (event.shiftKey ? 10 : 1))));
  }

  /** The cursor of this chart and of those in sync with it. */
  moveTo(index) {
    const left = this.plot.valToPos(this.plot.data[0][index], "x");
    this.on.keyed?.();
    this.plot.setCursor({ left, top: 10 }, true, true);
  }
}

/** Some room above and below; `floor` is [least low, least high] of the scale. */
function padded(low, high, floor) {
  if (low === null || high === null) return floor ?? [0, 1];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  return floor ? [floor[0], Math.max(floor[1], high + room)] : [low - room, high + room];
}
