// Shortcuts of the whole page. None where somebody is writing, none with a modifier.

const PLACES = { n: "#/", s: "#/streams", e: "#/episodes" };
const WAIT_MS = 1500; // between g and the letter after it

export function listen(help) {
  let pressed = 0; // when g was
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target) || help.open) return;
    if (event.key === "?") help.showModal();
    else if (event.key === "/") search();
    else if (event.key in PLACES && performance.now() - pressed < WAIT_MS) location.hash = PLACES[event.key];
    else {
      pressed = event.key === "g" ? performance.now() : 0;
      return;
    }
    pressed = 0;
    event.preventDefault();
  });
}

const writes = target => target.matches("input:not([type=radio]), textarea, select");

/** To the search field, on the page of streams where this one has none. */
function search() {
  const field = document.querySelector("input[type=search]");
  if (field) field.focus();
  else location.hash = "#/streams?focus=search";
}
