import { isObject } from "../../model/json.ts";
import type { Rule, Step } from "../../model/rule.ts";
import { isFinalStep, ON_ERROR_STEP, type RecordedNode, recordedTree, type StepRecord } from "../../model/run.ts";

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

// ── loops ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A step that was executed many times, as one row. */
export interface Loop {
  turns: Turn[];
  /** How many there will be, if known. */
  total: number;
  counts: Record<Exclude<Progress, "none">, number>;
  /** Turns ended per minute; undefined if too few have ended. */
  perMinute?: number;
  /** The worst state in each part of the loop, in order: at most {@link MOST_CELLS}. */
  cells: Progress[];
  /** Failures by message, the most frequent first. */
  failures: FailureGroup[];
}

/** One turn of a loop, or one item of a list. */
export interface Turn {
  /** Its number as people write it: `#12` is the turn at `lines[12]`, or the step `look#12`. */
  number: number;
  /** Its position among the turns, from 0. */
  at: number;
  node: StepNode;
  progress: Progress;
}

/** Turns that failed for the same reason. */
export interface FailureGroup {
  message: string;
  turns: Turn[];
}

/** Cells of a strip. */
const MOST_CELLS = 100;
/** Turns of a loop that are listed. */
export const MOST_LISTED = 20;
/** Steps of TypeScript with the same name become one row from this number on. */
const FOLDED_FROM = 5;

/** The loop of a step with turns or items inside; undefined if it has none. */
export function loopOf(node: StepNode): Loop | undefined {
  const turns = node.children.flatMap((child): Turn[] => {
    const number = turnOf(child);
    return number === undefined || isRefusedTurn(child)
      ? []
      : [{ number, at: number, node: child, progress: progressOf(child) }];
  });
  if (turns.length === 0) return undefined;
  return loopOfTurns(turns, countOf(node));
}

/** Steps of TypeScript with the same name. */
export interface Repeated {
  name: string;
  loop: Loop;
}

/** Siblings of which those with the same name, `look`, `look#2`, …, are one entry from five on. */
export function foldRepeated(siblings: StepNode[]): (StepNode | Repeated)[] {
  const groups = Map.groupBy(siblings, ({ name }) => repeatedName(name)[0]);
  const shown = new Set<string>();
  return siblings.flatMap((node): (StepNode | Repeated)[] => {
    const [name] = repeatedName(node.name);
    const group = groups.get(name)!;
    if (group.length < FOLDED_FROM || node.step !== undefined) return [node];
    if (shown.has(name)) return [];
    shown.add(name);
    const turns = group.map((node) => {
      const number = repeatedName(node.name)[1];
      return { number, at: number - 1, node, progress: progressOf(node) };
    });
    return [{ name, loop: loopOfTurns(turns, 0) }];
  });
}

/** The turns that get a row: open ones, failed ones and the last ones, in order. */
export function listedTurns({ turns }: Loop, chosen?: Turn): Turn[] {
  if (turns.length <= MOST_LISTED) return turns;
  const interest = (turn: Turn) =>
    turn === chosen ? 0 : turn.progress === "open" ? 1 : turn.progress === "failed" ? 2 : 3;
  const byInterest = turns.toReversed().sort((a, b) => interest(a) - interest(b)).slice(0, MOST_LISTED);
  return byInterest.sort((a, b) => a.number - b.number);
}

/** The turn with that number, or around that path. */
export function turnAround({ turns }: Loop, path: string | undefined): Turn | undefined {
  if (path === undefined) return undefined;
  return turns.find(({ node }) =>
    path === node.path || path.startsWith(`${node.path}/`) || path.startsWith(`${node.path}[`)
  );
}

/** How many turns there will be, from its end, its plan or its recorded list; 0 if unknown. */
function countOf({ record, children }: StepNode): number {
  const items = children.find(({ name }) => name === "[items]")?.record?.output;
  const plan = children.find((child) => turnOf(child) === 0)?.record?.input;
  const input = record?.input;
  const { each, times } = { ...isObject(plan) && plan, ...isObject(input) && input };
  const known = Array.isArray(items) ? items.length : each ?? times;
  return typeof known === "number" ? known : 0;
}

function loopOfTurns(given: Turn[], known: number): Loop {
  const turns = given.sort((a, b) => a.at - b.at);
  const total = Math.max(known, turns.at(-1)!.at + 1);
  const counts = { open: 0, failed: 0, cancelled: 0, done: 0 };
  for (const { progress } of turns) if (progress !== "none") counts[progress]++;
  const perMinute = rateOf(turns);
  return {
    turns,
    total,
    counts,
    ...(perMinute !== undefined && { perMinute }),
    cells: cellsOf(turns, total),
    failures: failuresOf(turns),
  };
}

/** The last record of a repeat says that there is no further turn. */
function isRefusedTurn({ record, children }: StepNode): boolean {
  return record?.kind === "repeat" && record.output === false && children.length === 0;
}

function rateOf(turns: Turn[]): number | undefined {
  const ended = turns.filter(({ progress }) => progress === "done" || progress === "failed");
  if (ended.length < 2) return undefined;
  let [from, to] = [Infinity, 0];
  for (const { node } of ended) {
    walk(node, ({ record }) => {
      if (record === undefined) return;
      from = Math.min(from, record.startedAt);
      to = Math.max(to, record.endedAt ?? record.startedAt);
    });
  }
  return to > from ? ended.length / ((to - from) / 60_000) : undefined;
}

function cellsOf(turns: Turn[], total: number): Progress[] {
  const size = Math.ceil(total / MOST_CELLS);
  const cells = Array.from<Progress>({ length: Math.ceil(total / size) }).fill("none");
  const order: Progress[] = ["none", "done", "cancelled", "failed", "open"];
  // A failure among open turns matters most.
  const rank = (progress: Progress) => progress === "failed" ? order.length : order.indexOf(progress);
  for (const { at, progress } of turns) {
    const cell = Math.floor(at / size);
    if (rank(progress) > rank(cells[cell])) cells[cell] = progress;
  }
  return cells;
}

function failuresOf(turns: Turn[]): FailureGroup[] {
  const failed = turns.filter(({ progress }) => progress === "failed");
  const grouped = Map.groupBy(failed, ({ node }) => failureOf(node)?.error?.message ?? "failed");
  return [...grouped].map(([message, turns]) => ({ message, turns })).sort((a, b) => b.turns.length - a.turns.length);
}

/** The record of the innermost step that failed a node. */
export function failureOf(node: StepNode): StepRecord | undefined {
  let found: StepRecord | undefined;
  walk(node, ({ record }) => {
    if (record?.state === "failed" && (found === undefined || record.path.length > found.path.length)) found = record;
  });
  return found;
}

/** `look#3` is the third `look`. */
function repeatedName(name: string): [string, number] {
  const [, base, number] = /^(.+)#(\d+)$/.exec(name) ?? [];
  return base === undefined ? [name, 1] : [base, Number(number)];
}
