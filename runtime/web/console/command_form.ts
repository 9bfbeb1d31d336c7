import type { Pairs } from "../../commands/check_set.ts";
import { textOfValue } from "../../language/fields/field_value.ts";
import { relationsOf } from "../../language/fields/relations.ts";
import type { JsonObject } from "../../model/json.ts";
import type { CommandInput, Field } from "../../model/rule.ts";
import { fieldMarkup, idOf, textIn, typedValues } from "../forms/fields.ts";
import { attributes, hiddenInput, type Markup, markup } from "./markup.ts";
import { graph, type GraphEdge, type GraphNode } from "./svg.ts";

/** The name of the checkbox that sets a flag without its value. No input has a name with a blank. */
const alone = (name: string) => `alone ${name}`;

/** Elements that the inputs on a page may have: however many flags a command has, the page stays small. */
const MOST_ELEMENTS = 1_100;

/** The inputs of a command in their order, in as many parts as pages need. There is at least one part. */
export function partsOf(inputs: Record<string, CommandInput>): string[][] {
  const parts: string[][] = [[]];
  let elements = 0;
  for (const [name, input] of Object.entries(inputs)) {
    elements += elementsOf(input);
    if (elements > MOST_ELEMENTS && parts.at(-1)!.length > 0) {
      parts.push([]);
      elements = elementsOf(input);
    }
    parts.at(-1)!.push(name);
  }
  return parts;
}

/** About how many elements an input has in the table and in the form. */
function elementsOf({ choices = [], value }: CommandInput): number {
  return 12 + 3 * (choices.length + 1) + (value === "optional" ? 3 : 0);
}

/** The texts of the inputs in other parts, which the form passes on. */
export function hiddenTexts(inputs: Record<string, CommandInput>, shown: string[], texts: Texts): Markup[] {
  const others = Object.keys(inputs).filter((name) => !shown.includes(name));
  const names = others.flatMap((name) => [name, alone(name)]).filter((name) => textIn(texts, name) !== "");
  return names.map((name) => markup`${hiddenInput(name, textIn(texts, name))}\n`);
}

/** The texts of a command's form, by the names of its inputs. */
export type Texts = Record<string, string>;

/** The values that were typed, in the order of their declaration, which is their order in argv unless the command sets another. */
export function typedPairs(inputs: Record<string, CommandInput>, texts: Texts): Pairs {
  const typed = typedValues(inputs, texts, () => false);
  return Object.keys(inputs).flatMap((name): Pairs => {
    if (inputs[name].value === "optional" && textIn(texts, alone(name)) !== "" && !Object.hasOwn(typed, name)) {
      return [[name, true]];
    }
    return Object.hasOwn(typed, name) ? [[name, typed[name]]] : [];
  });
}

/** The texts that stand for values, as of an earlier run. */
export function textsOf(inputs: Record<string, CommandInput>, values: JsonObject): Texts {
  const given = Object.entries(values).filter(([name, value]) => Object.hasOwn(inputs, name) && value !== null);
  return Object.fromEntries(given.map(([name, value]) => {
    return value === true && inputs[name].value === "optional" ? [alone(name), "true"] : [name, textOfValue(value)];
  }));
}

/** The texts with which the form opens: the defaults. */
export function defaultTexts(inputs: Record<string, CommandInput>): Texts {
  const values = Object.entries(inputs).flatMap(([name, { default: standard }]) => {
    return standard === undefined ? [] : [[name, standard] as const];
  });
  return textsOf(inputs, Object.fromEntries(values));
}

/** One input of the form, under its flag. */
export function inputMarkup(name: string, input: CommandInput, texts: Texts, problem: string | undefined): Markup {
  const { title, type, value, default: standard } = input;
  const field: Field = { ...input, title: title === undefined ? name : `${name}: ${title}`, required: false };
  if (type === "boolean" && standard === undefined) return checkbox(name, field, texts, problem);
  const own = fieldMarkup({ name, field, text: textIn(texts, name), ...problem !== undefined && { problem } });
  if (value !== "optional") return own;
  const checked = textIn(texts, alone(name)) !== "";
  const id = `${idOf(name)}-alone`;
  return markup`${own}<label class="choice alone" for="${id}"><input type="checkbox"${
    attributes({ id, name: alone(name), value: "true", checked })
  }><span>${name} without a value</span></label>
`;
}

/** A flag without a value. */
function checkbox(name: string, { title, help }: Field, texts: Texts, problem: string | undefined): Markup {
  const id = idOf(name);
  const ids = [...help ? [`${id}-help`] : [], ...problem ? [`${id}-error`] : []];
  const own = {
    id,
    name,
    value: "true",
    checked: textIn(texts, name) === "true",
    "aria-describedby": ids.join(" ") || undefined,
    "aria-invalid": problem ? "true" : undefined,
  };
  return markup`<div class="${problem ? "field wrong" : "field"}">
<label class="choice" for="${id}"><input type="checkbox"${attributes(own)}><span>${title}</span></label>
${help && markup`<p class="help" id="${id}-help">${help}</p>\n`}${
    problem && markup`<p class="error" id="${id}-error">${problem}</p>\n`
  }</div>
`;
}

// ── relations ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The most inputs that are drawn: a larger graph cannot be read. */
const MOST = 60;

/** What requires and excludes what, as a graph; false if nothing does. */
export function relationsGraph(fields: Record<string, Field>, file: string): Markup | false {
  const { names, edges, groups } = readEdges(fields);
  if (names.length === 0) return false;
  if (names.length > MOST) {
    return markup`<p class="soft">${names.length} inputs require or exclude others: too many to draw here.
<code>whenthen export --dot ${file}</code> prints the graph for Graphviz.</p>`;
  }
  const columns = columnsOf(names, edges);
  const rows = new Map<number, number>();
  const place = (id: string, label: string, column: number, isPlain = false): GraphNode => {
    const row = rows.get(column) ?? 0;
    rows.set(column, row + 1);
    return { id, label, column, row, isPlain };
  };
  const nodes = [
    ...groups.map((_, index) => place(groupId(index), "exactly one of", 0, true)),
    ...names.map((name) => place(name, name, columns.get(name)! + (groups.length > 0 ? 1 : 0))),
  ];
  return markup`${graph("What requires and excludes what", nodes, edges)}
<p class="soft">An arrow leads to what is required, a dotted one to one of several; a dashed line excludes.
<code>whenthen export --dot ${file}</code> prints it for Graphviz.</p>`;
}

/** What one input requires and excludes, in words. */
export function relationsInWords(name: string, fields: Record<string, Field>): string[] {
  const relations = relationsOf(fields);
  if (relations === undefined) return [];
  const { requires, anyOf, conflicts, oneOf } = relations;
  const excluded = [...conflicts.get(name)?.keys() ?? []].sort();
  return [
    ...requires.has(name) ? [`requires ${requires.get(name)!.join(", ")}`] : [],
    ...(anyOf.get(name) ?? []).map((names) => `requires ${names.join(" or ")}`),
    ...excluded.length > 0 ? [`excludes ${excluded.join(", ")}`] : [],
    ...oneOf.filter((group) => group.includes(name)).map((group) => `exactly one of ${group.join(", ")}`),
  ];
}

function groupId(index: number): string {
  // No input has such a name.
  return `one of ${index}`;
}

function readEdges(fields: Record<string, Field>): { names: string[]; edges: GraphEdge[]; groups: string[][] } {
  const relations = relationsOf(fields);
  const edges: GraphEdge[] = [];
  if (relations === undefined) return { names: [], edges, groups: [] };
  const { requires, anyOf, conflicts, oneOf } = relations;
  for (const [from, others] of requires) for (const to of others) edges.push({ from, to, kind: "next" });
  for (const [from, lists] of anyOf) for (const to of lists.flat()) edges.push({ from, to, kind: "any" });
  for (const [from, others] of conflicts) {
    for (const to of others.keys()) if (from < to) edges.push({ from, to, kind: "excludes" });
  }
  const related = new Set([...edges.flatMap(({ from, to }) => [from, to]), ...oneOf.flat()]);
  const names = Object.keys(fields).filter((name) => related.has(name));
  for (const [index, group] of oneOf.entries()) {
    for (const to of group) edges.push({ from: groupId(index), to, kind: "excludes" });
  }
  return { names, edges, groups: oneOf };
}

/** The column of each input: to the right of everything that requires it. The checker has refused cycles of `requires`. */
function columnsOf(names: string[], edges: GraphEdge[]): Map<string, number> {
  const columns = new Map(names.map((name) => [name, 0]));
  const arrows = edges.filter(({ kind }) => kind !== "excludes");
  for (let round = 0, changed = true; changed && round < names.length; round++) {
    changed = false;
    for (const { from, to } of arrows) {
      const least = columns.get(from)! + 1;
      if (columns.get(to)! >= least) continue;
      columns.set(to, least);
      changed = true;
    }
  }
  return columns;
}
