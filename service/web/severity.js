// Severity as a shape, a word and a colour: never the colour alone.

import { el, svg } from "./dom.js";

export const LEAST = { critical: 2.5, major: 1.5, minor: 1 };

/** Drawn around 0, 0; six units each way. */
export const SHAPES = {
  critical: "M0-6.5 6.5 0 0 6.5-6.5 0Z",
  major: "M0-6 6.5 5.5H-6.5Z",
  minor: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z",
  normal: "M-5 0.5-1.5 4 5-4",
};

export const severityOf = score => Object.keys(LEAST).find(name => score >= LEAST[name]) ?? "normal";

export function symbol(severity) {
  const open = severity === "normal";
  const path = svg("path", { d: SHAPES[severity], ...(open ? { fill: "none", stroke: "currentColor", "stroke-width": 2.2 } : {}) });
  return svg("svg", { viewBox: "-7 -7 14 14", class: "symbol", "aria-hidden": "true" }, path);
}

/** A badge: the shape and the word. */
export const badge = (severity, word = severity) =>
  el("span", { class: `badge ${severity}` }, symbol(severity), word);
