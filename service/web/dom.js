// Elements from plain data. Text is always text, never markup: names come from outside.

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) set(made, key, value);
  made.append(...children.flat(2).filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

function set(made, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === "function") made.addEventListener(key, value);
  else made.setAttribute(key, value === true ? "" : value);
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Put new children in; the focus stays where it is, and what was opened stays open. */
export function refill(place, ...children) {
  const focused = place.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const opened = [...place.querySelectorAll("details[open] > summary[id]")].map(summary => summary.id);
  place.replaceChildren(...children.flat().filter(Boolean));
  for (const id of opened) document.getElementById(id)?.parentElement.setAttribute("open", "");
  if (focused === null) return;
  for (const one of place.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")) {
    if (keyOf(one) === focused) return one.focus({ preventScroll: true });
  }
}

const keyOf = one => one.id || one.getAttribute("href") || one.textContent;

/** A name from outside: its direction of writing is its own, and a long one breaks anywhere. */
export const nameOf = text => el("bdi", { class: "outside" }, text);

/** What is said where something could not be had. */
export function trouble(error) {
  return el("p", { class: "trouble" }, `Not available: ${error.message}`);
}

/** What is said where there is nothing, and what to do. */
export const nothing = (...words) => el("p", { class: "nothing" }, ...words);

/** A definition list of [term, description] pairs; pairs without a description are left out. */
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined);
  return el("dl", { class: "facts" }, told.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))));
}
