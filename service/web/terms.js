// Words of ours that a reader may not know, each with a sentence that opens below it.

import { el } from "./dom.js";

const TERMS = {
  Level: "How abnormal the stream has been over its last dozen events: 1 is its usual, and it stays up through a long anomaly.",
  "Tail probability": "The share of a normal stream's blocks of 50 events in which anything as surprising happens: the smaller, the rarer the event.",
  Threshold: "The tail probability at which the score is 1 and an event is an anomaly; it follows from the false alarms a week that you allow.",
};

/** A term, as `facts` takes it, that says what it means to whoever opens it. */
export function explained(term) {
  const id = `term-${term.toLowerCase().replace(" ", "-")}`; // it stays open when its part is drawn again
  return el("details", { class: "term" }, el("summary", { id }, term), el("p", {}, TERMS[term]));
}
