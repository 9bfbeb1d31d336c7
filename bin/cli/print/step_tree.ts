import { type RecordedNode, recordedTree } from "../../../runtime/model/recorded_tree.ts";
import type { StepRecord } from "../../../runtime/model/run.ts";

/** A step, a branch or an iteration, with its children. The name of a branch with only one step is that of both: `[3]/save`. */
export interface StepNode extends Omit<RecordedNode, "path" | "children"> {
  children: StepNode[];
}

/** The progress of a step and its children: the worst of them. */
export type Progress = "open" | "failed" | "cancelled" | "done";

/** Builds a tree of records by their paths: `lines[3]/save` is below `[3]`, which is below `lines`. */
export function stepTree(steps: StepRecord[]): StepNode[] {
  return recordedTree(steps).roots.map(compact);
}

/** A branch with one step becomes one line; iterations are sorted by number, whichever ended first. */
function compact(node: RecordedNode): StepNode {
  const children = node.children.map(compact).sort((a, b) => indexOf(a) - indexOf(b));
  const [only] = children;
  if (node.record === undefined && children.length === 1) return { ...only, name: joined(node.name, only.name) };
  return { ...node, children };
}

function joined(name: string, below: string): string {
  return below.startsWith("[") ? name + below : `${name}/${below}`;
}

function indexOf({ name }: StepNode): number {
  return Number(/^\[(\d+)\]/.exec(name)?.[1] ?? -1);
}

export function progressOf({ record, children }: StepNode): Progress {
  const all: Progress[] = children.map(progressOf);
  if (record !== undefined) all.push(ofRecord(record));
  return (["open", "failed", "cancelled"] as const).find((progress) => all.includes(progress)) ?? "done";
}

function ofRecord({ state }: StepRecord): Progress {
  if (state === "failed" || state === "cancelled") return state;
  return state === "waiting" || state === "retrying" ? "open" : "done";
}

/** Up to this many siblings are all shown. */
const FEW = 20;
/** Of more siblings, these are shown: the first and last few, and the first of those that did not simply succeed. */
const EDGES = { first: 2, last: 5 };
const SHOWN: Record<Progress, number> = { open: 10, failed: 5, cancelled: 2, done: 0 };

/** Siblings for display: shown ones singly, and each gap of hidden ones as a list. */
export function fold(nodes: StepNode[]): (StepNode | StepNode[])[] {
  if (nodes.length <= FEW) return nodes;
  const left = { ...SHOWN };
  const folded: (StepNode | StepNode[])[] = [];
  for (const [index, node] of nodes.entries()) {
    const atEdge = index < EDGES.first || index >= nodes.length - EDGES.last;
    const hidden = folded.at(-1);
    if (atEdge || left[progressOf(node)]-- > 0) folded.push(node);
    else if (Array.isArray(hidden)) hidden.push(node);
    else folded.push([node]);
  }
  // A single hidden node is as short as the line that would replace it.
  return folded.map((part) => Array.isArray(part) && part.length === 1 ? part[0] : part);
}
