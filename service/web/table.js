// Lists: a table of one page, the links to the next one, and the fields that filter it.

import { el } from "./dom.js";
import { href } from "./route.js";

const REST_MS = 250; // after which a writer is taken to have finished a word

/**
 * columns: [{title, cell(item), kind}]; kind "n" is a number, "words" has room for some, "long" takes the whole width of a
 * small screen, "said-itself" has no title there. The first cell is the row's name.
 */
export function table(caption, columns, items) {
  const heads = columns.map(({ title, kind }) => el("th", { scope: "col", class: kind }, title));
  const rows = items.map(item => el("tr", {}, columns.map((column, n) => cell(column, item, n))));
  return el("table", {}, el("caption", { class: "unseen" }, caption), el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows));
}

function cell({ title, kind, cell: fill }, item, n) {
  const content = [fill(item)].flat();
  if (n === 0) return el("th", { scope: "row", class: kind }, content);
  return el("td", { class: kind, "data-name": title }, content);
}

/** Links to the first and the next page, where there are some; what is filtered by stays. */
export function pager(page, query, next) {
  const { cursor, focus, ...kept } = Object.fromEntries(query);
  if (!cursor && next === null) return null;
  return el("nav", { class: "pager", "aria-label": "Pages of the list" },
    cursor && el("a", { class: "button", href: href(page, null, kept) }, "First page"),
    next !== null && el("a", { class: "button", href: href(page, null, { ...kept, cursor: next }) }, "Next page"));
}

/**
 * What a list is filtered by. A change goes into `query` and into the address, without a new page:
 * the field that somebody writes in stays; then `reload` is called. `signal` is the page's.
 */
export class Filters {
  constructor(page, query, signal) {
    Object.assign(this, { page, query, signal });
    this.reload = () => {};
  }

  set(name, value) {
    if (this.signal.aborted) return; // the address is another page's by now
    for (const gone of ["cursor", "focus"]) this.query.delete(gone);
    if (value === "") this.query.delete(name);
    else this.query.set(name, value);
    history.replaceState(null, "", href(this.page, null, Object.fromEntries(this.query)));
    this.reload();
  }

  /** options: [[value, text]]; the value "" filters nothing. */
  choice(label, name, options) {
    const chosen = this.query.get(name) ?? "";
    const change = event => this.set(name, event.target.value);
    const made = options.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
    return el("label", {}, label, el("select", { id: `choose-${name}`, change }, made));
  }

  search(label, name) {
    let timer;
    const input = event => {
      clearTimeout(timer);
      timer = setTimeout(() => this.set(name, event.target.value), REST_MS);
    };
    const field = el("input", { type: "search", id: `find-${name}`, autocomplete: "off", spellcheck: "false", input });
    field.value = this.query.get(name) ?? "";
    return el("label", { class: "grow" }, label, field);
  }
}
