// Keep a part of a page as new as what the service tells.

import { live } from "./live.js";
import { trouble } from "./dom.js";

/**
 * `load(signal)` gives data, `draw(data)` shows them: at once, and again when something was told,
 * at most every `period` milliseconds and only while the page is seen. What did not change is not
 * drawn again. An error is shown in `place`, and the next success takes it away.
 *
 * Returns a function that loads again at once, as after a change of what is asked for.
 */
export function keepFresh({ place, load, draw, signal, period = 2000, on = "told" }) {
  let last = null;
  let running = null;
  let due = 0;
  let timer = null;
  let waiting = false; // to be seen

  async function refresh() {
    running?.abort();
    clearTimeout(timer);
    [timer, waiting] = [null, false];
    const mine = (running = new AbortController());
    try {
      const data = await load(AbortSignal.any([signal, mine.signal]));
      const text = JSON.stringify(data);
      if (!mine.signal.aborted && !signal.aborted && text !== last) draw(data);
      last = text;
    } catch (error) {
      if (!mine.signal.aborted && !signal.aborted) place.replaceChildren(trouble(error));
      last = null;
    }
    if (running === mine) running = null;
    due = performance.now() + period;
  }

  /** What is told too soon after the last time is asked for a little later, not forgotten. */
  function soon() {
    if (timer === null && !waiting) timer = setTimeout(later, Math.max(0, due - performance.now()));
  }

  function later() {
    timer = null;
    if (signal.aborted) return;
    if (running) timer = setTimeout(later, period);
    else if (document.hidden) waiting = true;
    else refresh();
  }

  function seen() {
    if (waiting && !document.hidden) refresh();
  }

  live.addEventListener(on, soon, { signal });
  document.addEventListener("visibilitychange", seen, { signal });
  refresh();
  return refresh;
}
