import type { Rule, Step } from "../../model/rule.ts";
import { type RecordedNode, recordedTree } from "../../model/recorded_tree.ts";
import { isFinalStep, ON_ERROR_STEP, type StepRecord } from "../../model/run.ts";

/** A step of a run, or a branch, turn or list of one, with its children. */
export interface StepNode extends RecordedNode {
  /** The step in the rule; absent in TypeScript, and if the rule's version is unknown. */
  step?: Step;
  children: StepNode[];
}

/** The worst state among a step and its children. */
export type Progress = "open" | "failed" | "cancelled" | "done" | "none";

const WORST_FIRST: Progress[] = ["open", "failed", "cancelled", "done"];

/**
 * The tree of a run: its recorded steps and, in the order of the rule, those not reached yet. Steps that are only
 * in the records, such as all those of TypeScript, follow in the order of the records.
 * @param rule the run's version of the rule, if it is known
 */
export function runTree(steps: StepRecord[], rule: Rule | undefined): StepNode[] {
  const { roots, nodes } = recordedTree(steps);
  if (rule === undefined) return roots;
  const handler = nodes.get(ON_ERROR_STEP);
  if (handler !== undefined) handler.children = arrange(handler.children, rule.onError, `${ON_ERROR_STEP}/`);
  return rule.then === "function" ? roots : arrange(roots, rule.then, "");
}

function arrange(recorded: StepNode[], steps: Step[], prefix: string): StepNode[] {
  const left = new Map(recorded.map((node) => [node.name, node]));
  const known = steps.map((step) => {
    const node = left.get(step.id) ?? { path: prefix + step.id, name: step.id, children: [] };
    left.delete(step.id);
    return arrangeInside({ ...node, step });
  });
  // The condition comes before all steps, the failure handler after them.
  const others = [...left.values()];
  return [...others.filter(({ name }) => name === "if"), ...known, ...others.filter(({ name }) => name !== "if")];
}

function arrangeInside(node: StepNode & { step: Step }): StepNode {
  const { step, path } = node;
  const lists = listsOf(step);
  const left = new Map(node.children.map((child) => [child.name, child]));
  // Branches that have not begun are shown once one of them has begun.
  const isParallel = step.kind === "parallel" && isBegun(node);
  const inside = Object.entries(lists).flatMap(([name, steps]): StepNode[] => {
    const found = left.get(name) ?? (isParallel ? { path: `${path}/${name}`, name, children: [] } : undefined);
    left.delete(name);
    return found === undefined ? [] : [{ ...found, children: arrange(found.children, steps, `${found.path}/`) }];
  });
  // The steps of a turn are its direct children.
  const turns = [...left.values()].map((child) =>
    turnOf(child) === undefined ? child : { ...child, children: arrange(child.children, lists.then, `${child.path}/`) }
  );
  return { ...node, children: [...inside, ...turns] };
}

/** The lists of steps inside a step, by the part of their paths that names them. */
export function listsOf({ children, onError, onTimeout }: Step): Record<string, Step[]> {
  return { ...children, ...Array.isArray(onError) && { onError }, ...onTimeout && { onTimeout } };
}

/** Whether the node or any of its children is recorded. */
export function isBegun({ record, children }: StepNode): boolean {
  return record !== undefined || children.some(isBegun);
}

/** The progress of a step. Failures inside an ended step do not count: the step handled them. */
export function progressOf(node: StepNode): Progress {
  const { record, children } = node;
  if (record !== undefined && isFinalStep(record.state) && !isDecision(record)) {
    if (record.state === "failed") return isHandled(node) ? worst(handlersOf(node), "done") : "failed";
    return record.state === "cancelled" ? "cancelled" : "done";
  }
  return worst(children, ownProgress(node));
}

/** A step that contains branches or turns is recorded when it ends; a branch or turn is not recorded. */
function ownProgress({ record, step, children }: StepNode): Progress {
  if (record !== undefined) return isFinalStep(record.state) ? "done" : "open";
  const isAround = children.length > 0 &&
    (step?.kind === "parallel" || children.some((child) => turnOf(child) !== undefined));
  return isAround ? "open" : "none";
}

/** The worst progress among nodes. A partly done list is open. */
export function worst(nodes: StepNode[], least: Progress = "none"): Progress {
  const all = new Set(nodes.map(progressOf));
  const isPartial = all.has("none") && all.has("done");
  if (isPartial) all.add("open");
  all.add(least);
  return WORST_FIRST.find((progress) => all.has(progress)) ?? "none";
}

/** Whether a failed step does not fail its parent, because its rule handles the failure. */
export function isHandled({ record, step }: StepNode): boolean {
  if (record?.state !== "failed" || step === undefined) return false;
  return step.onError !== undefined || (record.error?.name === "TimeoutError" && step.onTimeout !== undefined);
}

function handlersOf({ children }: StepNode): StepNode[] {
  return children.filter(({ name }) => name === "onError" || name === "onTimeout");
}

/** The record of an `if` or of a turn is its decision; the steps inside show whether the rest is done. */
function isDecision({ kind, state, path }: StepRecord): boolean {
  return state !== "failed" && (kind === "if" || (kind === "repeat" && path.endsWith("]")));
}

/** The number of a turn or item, from 0; undefined for any other node. */
export function turnOf({ name }: Pick<StepNode, "name">): number | undefined {
  const [, index] = /^\[(\d+)\]$/.exec(name) ?? [];
  return index === undefined ? undefined : Number(index);
}

/** Calls `visit` with a node and all its descendants. */
export function walk(node: StepNode, visit: (node: StepNode) => void): void {
  visit(node);
  for (const child of node.children) walk(child, visit);
}
