import { relationsOf } from "../../language/fields/relations.ts";
import type { Field } from "../../model/rule.ts";
import { graph, type GraphEdge, type GraphNode } from "./graph.ts";
import { type Markup, markup } from "./markup.ts";

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

/** What is required stands to the right of everything that requires it. The checker has refused circles of `requires`. */
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
