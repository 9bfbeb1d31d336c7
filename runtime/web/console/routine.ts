import { posix } from "node:path";
import type { Rule, Step } from "../../model/rule.ts";
import { graph, type GraphEdge, type GraphNode } from "./graph.ts";
import { type Markup, markup } from "./markup.ts";

/** The most steps that are drawn. */
const MOST = 60;

/** Which steps of a rule follow which, and which run at the same time; false for code and for a single step. */
export function routineGraph({ then }: Pick<Rule, "then">): Markup | false {
  if (then === "function") return false;
  const drawing: Drawing = { nodes: [], edges: [] };
  place(then, { path: "", column: 0, row: 0, from: [] }, drawing);
  const { nodes, edges } = drawing;
  if (nodes.length < 2) return false;
  if (nodes.length > MOST) return markup`<p class="soft">It has ${nodes.length} steps: too many to draw.</p>`;
  return markup`${graph("The steps in their order", nodes, edges)}
<p class="soft">${inWords(then)}.</p>`;
}

interface Drawing {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

interface Place {
  /** Of the steps around it; ids are unique only among siblings. */
  path: string;
  column: number;
  row: number;
  /** The steps that end before it begins. */
  from: string[];
}

/** Places a list of steps. @returns the steps that end last, and how much room the list takes */
function place(steps: Step[], { path, column, row, from }: Place, drawing: Drawing) {
  let [at, ends, height] = [column, from, 1];
  for (const step of steps) {
    const id = `${path}/${step.id}`;
    const lists = Object.entries(step.children).filter(([, list]) => list.length > 0);
    // Branches are drawn in the place of the step that holds them.
    const isDrawn = step.kind !== "parallel" || lists.length === 0;
    if (isDrawn) {
      drawing.nodes.push({ id, label: labelOf(step), column: at, row });
      for (const end of ends) drawing.edges.push({ from: end, to: id, kind: "next" });
      [at, ends] = [at + 1, [id]];
    }
    const last: string[] = [];
    let [below, width] = [row, 0];
    for (const [name, list] of lists) {
      const placed = place(list, { path: `${id}/${name}`, column: at, row: below, from: ends }, drawing);
      last.push(...placed.ends);
      below += placed.height;
      width = Math.max(width, placed.width);
    }
    if (lists.length === 0) continue;
    // A condition may skip what is inside it.
    const skips = step.kind === "if" && lists.length === 1 ? ends : [];
    [at, ends, height] = [at + width, [...last, ...skips], Math.max(height, below - row)];
  }
  return { ends, height, width: at - column };
}

function labelOf({ id, kind, args }: Step): string {
  const target = typeof args.call === "string" ? posix.basename(args.call).replace(/\.ya?ml$/, "") : kind;
  return id === target || id === kind ? target : `${id}: ${target}`;
}

/** The same for those who cannot see it: `first, then base64 and nonce side by side, then seal`. */
function inWords(steps: Step[]): string {
  return steps.map((step) => {
    const lists = Object.values(step.children).filter((list) => list.length > 0).map(inWords);
    if (lists.length === 0) return labelOf(step);
    if (step.kind === "parallel") return `at the same time (${lists.join(") and (")})`;
    return `${labelOf(step)} (${lists.join(" or ")})`;
  }).join(", then ");
}
