// What time it is, for the events: of those of a replay the wall clock says nothing.

import { live } from "./live.js";

const REPLAY = 7 * 86400; // seconds: newest events that are as far from the wall clock are a replay's

let newest = null; // the newest event's own time

/** Settled once the service has said how it is doing. */
export const known = new Promise(done => {
  live.addEventListener("now", ({ detail }) => {
    newest = detail.now?.event_time ?? newest;
    done();
  });
});

/** Unix seconds. */
export function present() {
  const wall = Date.now() / 1000;
  return newest === null || Math.abs(wall - newest) < REPLAY ? wall : newest;
}

export const isReplay = () => present() === newest;
