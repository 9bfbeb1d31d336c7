import type { JsonObject } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import { type Progress, progressOf, type StepNode, turnOf, walk } from "./run_tree.ts";

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
  failures: Failures[];
}

/** One turn of a loop, or one item of a list. */
export interface Turn {
  /** Its number as people write it: `#12` is the turn at `lines[12]`, or the step `look#12`. */
  number: number;
  /** Its place among the turns, from 0. */
  at: number;
  node: StepNode;
  progress: Progress;
}

/** Turns that failed for the same reason. */
export interface Failures {
  message: string;
  turns: Turn[];
}

/** Cells of a strip. */
export const MOST_CELLS = 100;
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
  const { each, times } = { ...plan as JsonObject, ...record?.input as JsonObject };
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

function failuresOf(turns: Turn[]): Failures[] {
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
