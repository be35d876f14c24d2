// The API, described: from openapi.json, which the service makes from its own code.

import { request } from "./api.js";
import { el, refill } from "./dom.js";
import { table } from "./table.js";

const METHODS = ["get", "post", "patch", "delete"];

export const title = () => "API";

export async function show(place, _, signal) {
  const told = await (await request("openapi.json", { signal })).json();
  const routes = Object.entries(told.paths).flatMap(([path, methods]) => METHODS.filter(name => name in methods).map(name => ({ path, method: name.toUpperCase(), ...methods[name] })));
  const tags = [...new Set(routes.map(route => route.tags?.[0] ?? "other"))];
  refill(place, el("h1", {}, "API"),
    el("p", { class: "soft" }, `Version ${told.info.version}. The same for programs: `, el("a", { href: "openapi.json" }, "openapi.json"), ". Errors are problem details (RFC 9457)."),
    tags.map(tag => el("section", {}, el("h2", {}, tag[0].toUpperCase() + tag.slice(1)), routes.filter(route => (route.tags?.[0] ?? "other") === tag).map(route => described(route, told.components.schemas)))));
}

function described(route, schemas) {
  const asked = route.requestBody?.content ?? {};
  const [, answer] = Object.entries(route.responses).find(([status]) => status.startsWith("2")) ?? [];
  return el("details", { class: "card route" },
    el("summary", { id: `${route.method} ${route.path}` }, el("code", {}, `${route.method} ${route.path}`), " ", el("span", { class: "soft" }, firstOf(route.description ?? ""))),
    text(route.description ?? route.summary),
    route.parameters?.length > 0 && table("Parameters", PARAMETERS, route.parameters),
    Object.entries(asked).map(([type, { schema }]) => body(`Takes ${type}`, schema, schemas)),
    Object.entries(answer?.content ?? {}).map(([type, { schema }]) => body(`Answers with ${type}`, schema, schemas)));
}

const text = words => (words ?? "").split("\n\n").map(part => el("p", {}, marked(part)));
const marked = words => words.split("`").map((piece, n) => (n % 2 ? el("code", {}, piece) : piece));

/** Its first sentence, without marks. */
const firstOf = words => words.replaceAll("`", "").split(/[.:;]\s/)[0].replace(/\.$/, "");

const PARAMETERS = [
  { title: "Parameter", cell: one => el("code", {}, one.name) },
  { title: "In", cell: one => (one.required ? `${one.in}, needed` : one.in) },
  { title: "Type", cell: one => typeOf(one.schema) },
  { title: "What", kind: "long", cell: one => marked(one.description ?? "") },
];
const FIELDS = [
  { title: "Field", cell: ([name]) => el("code", {}, name) },
  { title: "Type", cell: ([, schema]) => typeOf(schema) },
  { title: "What", kind: "long", cell: ([, schema]) => marked(schema.description ?? "") },
];

function body(caption, schema, schemas) {
  const name = schema?.$ref?.split("/").at(-1);
  const fields = Object.entries(schemas[name]?.properties ?? schema?.properties ?? {});
  return [el("h3", {}, caption, name && `: ${name}`), fields.length > 0 && table(caption, FIELDS, fields)];
}

/** A schema in a few words: "integer, 1 to 1000", "one of low, high", "list of text". */
function typeOf(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.filter(one => one.type !== "null").map(typeOf).join(" or ");
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if (schema.const !== undefined) return String(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const least = schema.minimum ?? schema.exclusiveMinimum, most = schema.maximum ?? schema.exclusiveMaximum;
  const bounds = [least !== undefined && `from ${least}`, most !== undefined && `to ${most}`].filter(Boolean).join(" ");
  return [{ string: "text" }[schema.type] ?? schema.type ?? "any", bounds].filter(Boolean).join(", ");
}
