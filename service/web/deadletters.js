// Records that were not scored, and why.

import { get } from "./api.js";
import { el, nameOf, nothing, refill } from "./dom.js";
import { bytes, secondsOf, when, zone } from "./format.js";
import { keepFresh } from "./fresh.js";
import { Filters, pager, table } from "./table.js";

const PAGE = "dead-letters";
const LIMIT = 50;
const REASONS = ["too_large", "malformed_json", "bad_schema", "bad_payload", "missing_key", "bad_key", "bad_time", "future", "bad_value", "no_features", "late", "repeated"];

export const title = () => "Dead letters";

export function show(place, { query }, signal) {
  const list = el("section", { "aria-label": "Dead letters" });
  const filters = new Filters(PAGE, query, signal);
  const reasons = [["", "Any"], ...REASONS.map(reason => [reason, reason.replaceAll("_", " ")])];
  refill(place, el("h1", {}, "Dead letters"),
    el("p", { class: "soft" }, "Records that were not scored, each with its reason. Their streams went on with the next record."),
    el("div", { class: "filters" }, filters.choice("Reason", "reason", reasons)), list);
  filters.reload = keepFresh({
    place: list, signal,
    load: end => get(PAGE, { reason: query.get("reason"), cursor: query.get("cursor"), limit: LIMIT }, end),
    draw: page => refill(list, listed(page, query)),
  });
}

function listed({ items, next_cursor: next }, query) {
  if (!items.length) return [nothing(query.get("reason") ? "No record was rejected for this reason." : "No record was rejected: each one was scored.")];
  return [table("Dead letters", columns(), items), pager(PAGE, query, next)];
}

const columns = () => [ // not once and for all: the reader may choose another zone
  { title: `Stored at (${zone()})`, kind: "time", cell: one => when(secondsOf(one.timestamp)) },
  { title: "Reason", cell: one => one.reason.replaceAll("_", " ") },
  { title: "Detail", kind: "long", cell: one => [nameOf(one.detail), record(one)] },
  { title: "Detector", cell: one => one.detector },
  { title: "Place", cell: one => [nameOf(one.topic), `, partition ${one.partition}, offset ${one.offset}`] },
  { title: "Key", cell: one => (one.key === null ? "–" : nameOf(one.key)) },
];

function record({ value, value_bytes: size, id }) {
  if (value === null) return null;
  return el("details", {}, el("summary", { id: `record-${id}` }, `The record, ${bytes(size)}`), el("pre", { tabindex: 0 }, value));
}
