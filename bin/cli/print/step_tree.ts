import type { StepRecord } from "../../../runtime/model/run.ts";

/** A step, a branch or an iteration, with its children. */
export interface StepNode {
  /** The last part of its path: `save`, `[3]`; for a branch with only one step, both: `[3]/save`. */
  name: string;
  /** Absent if only its children were recorded: a branch, or a step around others that has not ended. */
  record?: StepRecord;
  children: StepNode[];
}

/** The progress of a step and its children: the worst of them. */
export type Progress = "open" | "failed" | "cancelled" | "done";

/** Builds a tree of records by their paths: `lines[3]/save` is below `[3]`, which is below `lines`. */
export function stepTree(steps: StepRecord[]): StepNode[] {
  const roots: StepNode[] = [];
  const known = new Map<string, StepNode>();
  for (const record of steps) nodeAt(record.path, roots, known).record = record;
  return roots.map(compact);
}

/** The node of a path; created, with its parents, if missing. */
function nodeAt(path: string, roots: StepNode[], known: Map<string, StepNode>): StepNode {
  const found = known.get(path);
  if (found) return found;
  const [, iterated, index] = /^(.*[^/])(\[\d+\])$/.exec(path) ?? [];
  const slash = path.lastIndexOf("/");
  const parent = iterated ?? path.slice(0, Math.max(0, slash));
  const node: StepNode = { name: index ?? path.slice(slash + 1), children: [] };
  (parent !== "" ? nodeAt(parent, roots, known).children : roots).push(node);
  known.set(path, node);
  return node;
}

/** A branch with one step becomes one line; iterations are sorted by number, whichever ended first. */
function compact(node: StepNode): StepNode {
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
