// What happened, in a sentence.

import { number } from "./format.js";

/** How far a value is outside of its band, in half bands; negative below, 0 within. */
export function outside({ actual, low, high }) {
  if ([actual, low, high].some(value => value === null || value === undefined)) return 0;
  const half = (high - low) / 2 || Number.MIN_VALUE;
  return actual > high ? (actual - high) / half : Math.min(0, (actual - low) / half);
}

function farness(distance) {
  const size = Math.abs(distance);
  const how = size > 4 ? "far " : size > 1 ? "well " : "";
  return `${how}${distance > 0 ? "above" : "below"} what was expected`;
}

const bandText = ({ low, high }) => `${number(low)} to ${number(high)}`;

/** The rest of a sentence that begins with the feature's name. */
export function told(feature) {
  if (feature.expected === null || feature.low === null) return `was ${number(feature.actual)}, before anything could be expected`;
  const distance = outside(feature);
  if (distance) return `${farness(distance)}: ${number(feature.actual)}, not ${bandText(feature)}`;
  return `was ${number(feature.actual)}, within the expected ${bandText(feature)}, but unusual for its time, its run or its mean`;
}

/** What a service that is not ready waits for. */
export const waitsFor = ({ waiting_for: what }) => (what === null || what === "restore" ? "it is starting (the first start compiles its inner loops)" : what);
