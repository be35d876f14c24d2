// What a stream's memory kept and let go: the gates of its LSTM, asked for once somebody opens it.

import { get, streamPath } from "./api.js";
import { Chart } from "./chart.js";
import { colour, onChange } from "./colours.js";
import { el, nothing, refill, svg, trouble } from "./dom.js";
import { number, when, whenThere, zone } from "./format.js";
import { table } from "./table.js";

const HEIGHT = 160;
const SHOWN_ROWS = 200;
const CURVES = [ // distinguished by their dashes, also without colour
  { key: "forget", name: "forget gate: stays", stroke: "--actual", dash: [] },
  { key: "input", name: "input gate: comes in", stroke: "--major", dash: [8, 4] },
  { key: "output", name: "output gate: is told", stroke: "--normal", dash: [2, 3] },
  { key: "written", name: "written", stroke: "--soft", dash: [10, 3, 2, 3] },
];
const COLUMNS = [["Forget gate", "forget"], ["Input gate", "input"], ["Output gate", "output"], ["Kept", "kept"], ["Written", "written"]];
const TOLD = "At each event the forget gate says how much of the memory stays, the input gate how much of what is new comes in, and the output gate how much of it is told: means over the network's units, from 0, closed, to 1, open. Kept is the share of the cell state that stayed, written the mean size of what was added to it.";

/** A closed part, as `Charts` takes it; `range` is read when it is opened. */
export function gates({ stream, detector, range, signal, zoom }) {
  const body = el("div", {});
  const whole = el("details", { class: "gates" }, el("summary", {}, "What the memory kept and let go"), body);
  const state = { chosen: 0, feature: null, chart: null };
  signal.addEventListener("abort", () => state.chart?.destroy());
  onChange(() => state.chart?.redraw(), signal);

  async function load() {
    state.chart?.destroy();
    state.chart = null;
    refill(body, el("p", { class: "soft" }, "Working it out again …"));
    try {
      const asked = { detector, feature: state.feature, start: range.start, end: range.end };
      show(await get(`${streamPath(stream)}/gates`, asked, signal));
    } catch (error) {
      if (!signal.aborted) refill(body, error.status === 404 ? nothing(error.message) : trouble(error));
    }
  }

  function show(told) {
    state.chart?.destroy();
    const steps = stepsOf(told, state.chosen);
    const plot = el("div", { class: "plot" });
    const now = el("p", { class: "value", "aria-live": "polite" });
    const read = index => refill(now, readout(steps, index ?? steps.times.length - 1));
    refill(body,
      el("p", {}, TOLD), choices(told), legend(), now, plot, listed(steps),
      el("p", { class: "soft" }, `Worked out again from the values that are kept, after a warm-up of ${told.warm_up} events${told.truncated ? "; of the newest 2,000 events of this time" : ""}.`));
    const series = CURVES.map(({ stroke, dash }) => ({ stroke: () => colour(stroke), width: 1.5, dash, points: { show: steps.times.length < 60, size: 4 } }));
    const ends = [range.start ?? steps.times[0], range.end ?? steps.times.at(-1) ?? range.start + 1];
    state.chart = new Chart(plot, {
      label: "Gates over time: arrow keys move the cursor", height: HEIGHT, series, floor: [0, 1], span: () => ends,
      marks: () => ({ episodes: [], scores: [] }), on: { move: read, zoom },
    });
    state.chart.draw([steps.times, ...CURVES.map(({ key }) => steps[key])]);
    read(null);
  }

  function choices(told) {
    const runs = told.features.length > 1 && choice("Feature", "gates-feature", told.features.map(name => [name, name]), told.feature, name => { state.feature = name; load().then(() => document.getElementById("gates-feature")?.focus()); });
    const lengths = told.resolutions.length > 1 && choice("Read", "gates-steps", told.resolutions.map(({ events }, i) => [i, events > 1 ? `means of ${events} events` : "each event"]), state.chosen, i => { state.chosen = Number(i); show(told); document.getElementById("gates-steps").focus(); });
    return (runs || lengths) && el("div", { class: "filters" }, runs, lengths);
  }

  whole.addEventListener("toggle", () => whole.open && load());
  return whole;
}

/** The events with which a step of the chosen resolution ended. */
function stepsOf({ times, resolutions }, chosen) {
  const columns = resolutions[chosen];
  const there = times.map((_, i) => i).filter(i => columns.forget[i] !== null);
  const some = column => there.map(i => column[i]);
  return { times: some(times), ...Object.fromEntries(COLUMNS.map(([, key]) => [key, some(columns[key])])) };
}

function readout(steps, i) {
  if (!steps.times.length) return "No step of the network ended at this time.";
  const share = value => (value === null ? "–" : number(Math.round(1000 * value) / 1000));
  return [
    el("strong", {}, whenThere(steps.times[i])),
    ` · ${COLUMNS.map(([name, key]) => `${name.toLowerCase()} ${share(steps[key][i])}`).join(" · ")}`,
  ];
}

function choice(label, id, options, chosen, change) {
  const field = el("select", { id, change: () => change(field.value) }, options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return el("label", {}, label, field);
}

function legend() {
  return el("p", { class: "legend" }, CURVES.map(({ key, name, dash }) => (
    el("span", {}, svg("svg", { class: `stroke ${key}`, viewBox: "0 0 34 8", "aria-hidden": "true" }, svg("path", { d: "M0 4H34", "stroke-dasharray": dash.join(" ") })), name))));
}

function listed(steps) {
  const rows = steps.times.map((_, i) => i).reverse().slice(0, SHOWN_ROWS);
  const columns = [
    { title: `Time (${zone()})`, cell: i => when(steps.times[i]) },
    ...COLUMNS.map(([title, key]) => ({ title, kind: "n", cell: i => number(steps[key][i]) })),
  ];
  const cut = steps.times.length > SHOWN_ROWS && el("p", { class: "soft" }, `The newest ${SHOWN_ROWS} of ${steps.times.length}.`);
  return el("details", {}, el("summary", {}, "Show as table"),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gates as a table" }, table("Gates", columns, rows)), cut);
}
