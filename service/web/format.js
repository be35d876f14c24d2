// Numbers and times as a person reads them. The API's times are RFC 3339; ours are Unix seconds.

import { present } from "./clock.js";

const PLAIN = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const DAY = 86400;
const UNITS = [[DAY, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export const isLocal = () => localStorage.getItem("times") === "local";

/** "UTC", or the offset from it at a time; over several times, which may have several, just whose. */
export function zone(seconds) {
  if (!isLocal()) return "UTC";
  if (!Number.isFinite(seconds)) return "local time";
  const minutes = -new Date(seconds * 1000).getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const two = n => String(Math.trunc(Math.abs(n))).padStart(2, "0");
  return `UTC${sign}${two(minutes / 60)}:${two(minutes % 60)}`;
}

export const secondsOf = text => Date.parse(text) / 1000;

/** Four digits, and all before the point; a value that is not known is a dash. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return exponent(value);
  return (size >= 1e4 ? WHOLE : PLAIN).format(value);
}

const exponent = value => value.toExponential(3).replace(/\.?0*e\+?/, "e");

/** 1 event, 2 events. */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

export const count = value => (value === null || value === undefined ? "–" : WHOLE.format(value));

/** A score below the threshold is never told as one that reaches it. */
export function scoreText(value) {
  if (value === null || value === undefined) return "–";
  return (value < 1 ? Math.min(value, 0.99) : value).toFixed(2);
}

/** A score as it is kept beside each event: to 2 %, so to no more digits than are known. */
export const keptScore = value => (value >= 1 && value < 100 ? value.toPrecision(2) : scoreText(value));
export const percent = share => `${Math.round(100 * share)} %`;

export function bytes(size) {
  return size < 1024 ? `${count(size)} B` : `${PLAIN.format(size / 1024)} KiB`;
}

/** 2026-11-21 07:00:00, in the zone that the reader chose. */
export function when(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const shifted = isLocal() ? seconds - 60 * new Date(seconds * 1000).getTimezoneOffset() : seconds;
  return new Date(shifted * 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** 2026-11-21 07:00:00 UTC. */
export const whenThere = seconds => `${when(seconds)} ${zone(seconds)}`;

/** 1 h 5 min: the two largest units. */
export function lasted(seconds) {
  const whole = Math.round(seconds);
  const first = UNITS.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  const [size, unit] = UNITS[first];
  const [next, nextUnit] = UNITS[first + 1] ?? [1, ""];
  const rest = Math.floor((whole % size) / next);
  return `${Math.floor(whole / size)} ${unit}${rest && nextUnit ? ` ${rest} ${nextUnit}` : ""}`;
}

/** "12 min ago". */
export function ago(seconds) {
  const since = present() - seconds;
  return since >= 0 ? `${lasted(since)} ago` : "";
}
