// The shell: which page is shown, the state line, the key, the shortcuts.

import { refused, session } from "./api.js";
import { el, nothing, refill, trouble } from "./dom.js";
import { count } from "./format.js";
import { waitsFor } from "./words.js";
import * as keys from "./keys.js";
import { again, live, start } from "./live.js";
import { parse } from "./route.js";

/**
 * A page is {title(route), show(place, route, signal)}; the signal ends its requests and listeners.
 * Each is loaded when it is first shown.
 */
const PAGES = {
  now: () => import("./now.js"),
  streams: () => import("./streams.js"),
  stream: () => import("./stream.js"),
  episodes: () => import("./episodes.js"),
  episode: () => import("./episode.js"),
  mutes: () => import("./mutes.js"),
  "dead-letters": () => import("./deadletters.js"),
  settings: () => import("./settings.js"),
  api: () => import("./reference.js"),
  missing: async () => missing,
};
const OF = { stream: "streams", episode: "episodes", api: "settings" }; // which entry of the navigation it belongs to

const main = document.getElementById("main");
const state = document.getElementById("state");
const form = document.getElementById("key");
const help = document.getElementById("help");

let shown = null; // {page, name, ends}
let link = "connecting";

const missing = {
  title: () => "No such page",
  show: place => refill(place, el("h1", {}, "No such page"), nothing("There is nothing at this address. ", el("a", { href: "#/" }, "To the start"))),
};

async function show() {
  const route = parse(location.hash);
  const moved = shown !== null && (shown.page !== route.page || shown.name !== route.name);
  shown?.ends.abort();
  shown = { ...route, ends: new AbortController() };
  const { signal } = shown.ends;
  mark(OF[route.page] ?? route.page);
  if (moved) {
    main.replaceChildren();
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true }); // where a screen reader goes on
  }
  try {
    const page = await PAGES[route.page]();
    if (signal.aborted) return;
    retitle(page.title(route));
    await page.show(main, route, signal);
  } catch (error) {
    if (!signal.aborted) refill(main, el("h1", {}, title), trouble(error));
  }
}

function mark(page) {
  for (const entry of document.querySelectorAll("header nav a")) {
    if (entry.dataset.page === page) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
}

let title = "";
let openEpisodes = 0;

function retitle(text = title) {
  title = text;
  document.title = `${openEpisodes ? `(${openEpisodes}) ` : ""}${title} · Wakeful`;
}

function say(kind, text) {
  state.dataset.state = kind;
  if (state.textContent !== text) state.textContent = text; // each change is read aloud
}

function tellState({ now: told, error }) {
  openEpisodes = told?.open_episodes ?? openEpisodes; // an error says nothing of them
  retitle();
  if (error?.status === 401) return say("trouble", "waiting for a key");
  if (error?.status === 0) return say("trouble", "no connection: the service does not answer");
  const how = link === "live" ? "live" : "live updates are away: asking every 2 s";
  if (told === null) return say("waiting", how);
  if (!told.ready) return say("trouble", `not ready: ${waitsFor(told)}`);
  const open = told.open_episodes;
  if (!open) return say(link === "live" ? "good" : "waiting", `watching · ${how}`);
  say("open", `${count(open)} ${open === 1 ? "episode" : "episodes"} open · ${how}`);
}

live.addEventListener("link", ({ detail }) => { link = detail; });
live.addEventListener("now", ({ detail }) => tellState(detail));

refused.addEventListener("refused", () => {
  if (!form.hidden) return;
  form.hidden = false;
  main.hidden = true; // all of it would say the same
  form.elements["key-field"].focus();
});
form.addEventListener("submit", async event => {
  event.preventDefault();
  const said = document.getElementById("key-said");
  try {
    await session.begin(form.elements["key-field"].value.trim());
  } catch (error) {
    said.textContent = error.message;
    return;
  }
  said.textContent = "";
  form.hidden = true;
  main.hidden = false;
  form.reset();
  show();
  again();
});

document.getElementById("help-button").addEventListener("click", () => help.showModal());
document.getElementById("skip").addEventListener("click", event => { // its # is no page
  event.preventDefault();
  main.focus();
});

keys.listen(help);
window.addEventListener("hashchange", show);
start();
show();
