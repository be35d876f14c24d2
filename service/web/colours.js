// The style sheet's colours for canvases, which cannot read them themselves.

import { el } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const told = new EventTarget();
const known = new Map();

/** `name` is a custom property; light-dark() is resolved only in an element. */
export function colour(name) {
  if (!known.has(name)) known.set(name, resolved(name));
  return known.get(name);
}

function resolved(name) {
  const probe = el("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The reader chose another theme, or the system did. */
export function changed() {
  known.clear();
  told.dispatchEvent(new Event("changed"));
}

dark.addEventListener("change", changed);

export const onChange = (draw, signal) => told.addEventListener("changed", draw, { signal });
