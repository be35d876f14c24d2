// What happens while the page is open: by api/v1/live, or by asking every two seconds without it.
// EventSource says nothing of why it was refused, so its format is read from a fetch.

import { API, ApiError, get, request } from "./api.js";

const POLL_MS = 2000;
const SILENCE_MS = 15000; // `now` comes once a second: after this the connection is dead
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30000;

/**
 * Events: `now` (detail: {now, error}, what api/v1/now says or why it says nothing), `told` (an
 * episode or an anomaly came, or it is time to ask again) and `link` ("live" or "polling").
 */
export const live = new EventTarget();

const tell = (name, detail) => live.dispatchEvent(new CustomEvent(name, { detail }));

let link = null;
let polling = false;
let lastId = null;

export function start() {
  follow();
  poll();
}

function set(state) {
  if (link === state) return;
  link = state;
  tell("link", state);
  poll();
  if (state === "live") tell("told", { event: state }); // what came while nobody listened
}

/** Read until it breaks, then again after a wait that doubles while nothing comes. */
async function follow() {
  let wait = FIRST_WAIT_MS;
  for (;;) {
    try {
      await read(() => { wait = FIRST_WAIT_MS; });
    } catch {
      // Polling goes on in its place, and shows an error that both have.
    }
    set("polling");
    await pause(wait * (0.75 + Math.random() / 2)); // not all pages at once after a restart
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

let wake = () => {};

const pause = milliseconds => new Promise(done => {
  setTimeout(done, milliseconds);
  wake = done;
});

/** Do not wait any longer: something is different, such as the key. */
export const again = () => wake();

async function read(onMessage) {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENCE_MS);
  const headers = { Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) };
  try {
    const reply = await request(`${API}live`, { headers, signal: silent.signal, cache: "no-store" });
    for await (const message of messages(reply.body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      set("live");
      onMessage();
      take(message);
    }
  } finally {
    clearTimeout(timer);
  }
}

function take({ event, data, id }) {
  if (id !== null) lastId = id;
  if (event === "now") return tell("now", { now: JSON.parse(data), error: null });
  if (event === "busy") return tell("now", { now: null, error: new ApiError(503, JSON.parse(data).detail) });
  tell("told", { event });
}

/** The messages of a text/event-stream, as they come. */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let fields = empty();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line !== "") add(fields, line);
      else {
        if (fields.event) yield { ...fields, data: fields.data.join("\n") };
        fields = empty();
      }
    }
  }
}

const empty = () => ({ event: null, data: [], id: null });

function add(fields, line) {
  const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
  if (name === "data") fields.data.push(value);
  else if (name === "event" || name === "id") fields[name] = value;
}

async function poll() {
  if (polling) return;
  polling = true;
  while (link !== "live") {
    if (!document.hidden) await ask();
    await new Promise(done => setTimeout(done, POLL_MS));
  }
  polling = false;
}

async function ask() {
  try {
    tell("now", { now: await get("now"), error: null });
  } catch (error) {
    tell("now", { now: null, error });
  }
  tell("told", { event: "poll" });
}
