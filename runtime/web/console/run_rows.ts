import { isFinal, type Run, type StepRecord, type StepWait } from "../../model/run.ts";
import {
  failureOf,
  foldRepeated,
  isBegun,
  isHandled,
  listedTurns,
  type Loop,
  loopOf,
  type Progress,
  progressOf,
  type StepNode,
  type Turn,
  turnAround,
  walk,
  worst,
} from "./run_tree.ts";
import { decodeName } from "./rule_source.ts";
import { joinSpans, lengthOf, type Span, type WorkAndWait } from "./run_timeline.ts";
import { oneLine, outcomeOf, type Text } from "./run_words.ts";

/** One line of the tree of a run. */
export interface Row {
  depth: number;
  /** For a fold of steps, that of the first one. */
  path: string;
  name: string;
  /** Absent if it equals the name, and for branches. */
  kind?: string;
  progress: Progress;
  /** Whether it is probably being attempted: the first attempt of a step is recorded only when it ends. */
  isCurrent: boolean;
  outcome: Text;
  attempts: number;
  /** Milliseconds in which it, or something inside, worked, and in which everything inside waited. */
  work: number;
  wait: number;
  times: WorkAndWait;
  loop?: LoopRow;
  /** Its record, if this is the row that is open. */
  open?: StepRecord;
}

/** What the row of a loop shows in addition. */
export interface LoopRow extends Omit<Loop, "turns"> {
  count: number;
  /** The path that the numbers of its turns refer to: `lines[12]`, `look#12`. */
  base: string;
}

/** The input from which rows are made. */
export interface RowContext {
  run: Run;
  now: number;
  /** The path of the step that is open. */
  open: string | undefined;
  /** Whether the steps that are not recorded yet are known. */
  hasPlan: boolean;
}

/** Kinds of steps that wait, rather than work, between begin and end. */
const WAITS = new Set(["wait", "waitFor", "form"]);
/** If there are more siblings than this, consecutive ones that are done are folded. */
const MOST_SIBLINGS = 16;
/** The least number that is folded, and the number that stays next to rows that are not folded. */
const FEWEST_FOLDED = 4;
const EDGE = 2;
/** More stay next to the open one, so that a folded step can be opened. */
const BESIDE_OPEN = 8;
/** Rows of one page; after them, only important ones. */
export const MOST_ROWS = 110;

/** The rows of a list of steps and of their children. */
export function rowsOf(nodes: StepNode[], context: RowContext, depth = 0, isLive = isRunning(context)): Row[] {
  const current = isLive && context.hasPlan ? nodes.find((node, index) => isNext(nodes, node, index)) : undefined;
  const rows = foldRepeated(nodes).flatMap((part): Row[][] => {
    if ("loop" in part) return [repeatedRows(part, context, depth)];
    if (isTechnical(part, nodes)) return [];
    return [part === current ? [currentRow(part, nodes, context, depth)] : nodeRows(part, context, depth, isLive)];
  });
  return foldDone(rows, depth, context);
}

function isRunning({ run }: RowContext): boolean {
  return run.state === "running";
}

/** The first step that is not recorded, after those that have ended. */
function isNext(nodes: StepNode[], node: StepNode, index: number): boolean {
  if (isBegun(node) || node.step === undefined) return false;
  return nodes.slice(0, index).every((before) =>
    ["done", "failed"].includes(progressOf(before)) || before.step === undefined
  );
}

/** The list that an `each` recorded, the parts of a `task`, and the record that there is no further turn. */
function isTechnical({ name, record, children }: StepNode, siblings: StepNode[]): boolean {
  if (name === "[items]" || (record?.kind === "task" && name.startsWith("["))) return true;
  return record?.kind === "repeat" && /^\[\d+\]$/.test(name) && children.length === 0 && siblings.length > 1;
}

/** The row of a step in its first attempt, which began when the steps before it had ended. */
function currentRow(node: StepNode, siblings: StepNode[], context: RowContext, depth: number): Row {
  const { run, now } = context;
  const before = siblings.slice(0, siblings.indexOf(node)).map((sibling) => lastEndOf([sibling]));
  const from = Math.min(now, Math.max(run.startedAt ?? run.createdAt, ...before));
  const times = { work: [{ from, to: now }], wait: [] };
  const row = rowOf(node, context, depth);
  return { ...row, progress: "open", isCurrent: true, outcome: ["is attempted"], times, work: now - from };
}

/** When the last of the ended steps ended; 0 if none has. */
export function lastEndOf(nodes: StepNode[]): number {
  let last = 0;
  for (const node of nodes) walk(node, ({ record }) => last = Math.max(last, record?.endedAt ?? 0));
  return last;
}

function nodeRows(node: StepNode, context: RowContext, depth: number, isLive: boolean): Row[] {
  const loop = loopOf(node);
  const row = rowOf(node, context, depth);
  if (loop !== undefined) {
    const turn = turnAround(loop, context.open);
    const isOpen = turn !== undefined || context.open === node.path;
    const others = node.children.filter(({ name }) => !name.startsWith("["));
    return [
      { ...row, ...row.progress === "done" && { outcome: [] }, loop: loopRow(loop, node.path) },
      ...isOpen ? turnRows(loop, turn, context, depth + 1) : [],
      ...rowsOf(others, context, depth + 1, isLive),
    ];
  }
  const inside = insideRows(node, context, depth + 1, isLive);
  const isBeginning = row.progress === "none" && inside.some(({ isCurrent }) => isCurrent);
  return [isBeginning ? { ...row, progress: "open", outcome: [] } : row, ...inside];
}

/** The steps of `then`, `else` and of a call are directly below it: its outcome shows which they are. */
function insideRows({ children, record, step }: StepNode, context: RowContext, depth: number, isLive: boolean): Row[] {
  // The contents of a branch are a list of steps.
  if (record === undefined && step === undefined) return rowsOf(children, context, depth, isLive);
  const kind = record?.kind ?? step?.kind;
  const isOpen = isLive && (record === undefined || record.endedAt === undefined || kind === "if");
  const isFlat = ({ record, name }: StepNode) =>
    record === undefined && (name === "then" || (kind === "if" && name === "else"));
  const groups = children.map((child) =>
    isFlat(child) ? rowsOf(child.children, context, depth, isOpen) : nodeRows(child, context, depth, isOpen)
  );
  return foldDone(groups.filter(({ length }) => length > 0), depth, context);
}

function repeatedRows({ name, loop }: { name: string; loop: Loop }, context: RowContext, depth: number): Row[] {
  const turn = turnAround(loop, context.open);
  const [first] = loop.turns;
  const base = first.node.path;
  const nodes = loop.turns.map(({ node }) => node);
  const node: StepNode = { path: base, name, children: nodes };
  const kind = first.node.record?.kind;
  const row = { ...rowOf(node, context, depth), ...kind !== undefined && kind !== name && { kind } };
  return [
    { ...row, loop: loopRow(loop, base) },
    ...turn === undefined ? [] : turnRows(loop, turn, context, depth + 1),
  ];
}

function loopRow({ turns, ...rest }: Loop, base: string): LoopRow {
  return { ...rest, count: turns.length, base };
}

/** The turns that are listed, and the steps of the one that is open. */
function turnRows(loop: Loop, chosen: Turn | undefined, context: RowContext, depth: number): Row[] {
  return listedTurns(loop, chosen).flatMap((turn) => {
    const { node } = turn;
    const row = { ...rowOf(node, context, depth), name: `#${turn.number}` };
    if (turn !== chosen) return [withFailure(row, node)];
    return [row, ...rowsOf(node.children, context, depth + 1, isRunning(context) && turn.progress === "open")];
  });
}

function withFailure(row: Row, node: StepNode): Row {
  if (row.progress !== "failed" || row.outcome.length > 0) return row;
  return { ...row, outcome: [oneLine(failureOf(node)?.error?.message ?? "")] };
}

function rowOf(node: StepNode, context: RowContext, depth: number): Row {
  const { run, now, open } = context;
  const { path, name, record, step } = node;
  const kind = record?.kind ?? step?.kind;
  const times = timesOf(node, now);
  const work = lengthOf(times.work);
  const wait = lengthOf(joinSpans([...times.work, ...times.wait])) - work;
  return {
    depth,
    path,
    name: labelOf(name, run),
    ...kind !== undefined && kind !== name && record?.kind !== "onError" && { kind },
    progress: withoutOpen(progressOf(node), run),
    isCurrent: false,
    outcome: outcomeText(node, context),
    attempts: record?.attempts ?? 0,
    work,
    wait,
    times,
    ...record !== undefined && path === open && { open: record },
  };
}

/** In an ended run nothing is open: a stop may have left steps unfinished. */
function withoutOpen(progress: Progress, { state }: Run): Progress {
  return isFinal(state) && progress === "open" ? "cancelled" : progress;
}

function labelOf(name: string, { rule }: Run): string {
  if (name === "rule.onError") return `onError of ${rule}`;
  const [, attempt] = /^then@(\d+)$/.exec(name) ?? [];
  return attempt === undefined ? decodeName(name) : `attempt ${attempt}`;
}

function outcomeText(node: StepNode, { run: { waits = [] }, now }: RowContext): Text {
  const { record, step, children } = node;
  if (record === undefined) return isBegun(node) ? aroundOpen(node) : ["not reached"];
  if (record.kind === "onError") return [];
  const wait: StepWait | undefined = waits.find((wait) => wait.step === record.path);
  const text = outcomeOf(record, wait, step, now);
  const isAnswered = isHandled(node) && worst(children) !== "failed";
  return isAnswered ? [...text, "; handled by its onError"] : text;
}

/** A step that contains others is recorded when it ends. */
function aroundOpen({ step }: StepNode): Text {
  if (step?.kind !== "parallel") return [];
  const { parallel: names, join = "all" } = step.args;
  return [`${join} of ${Array.isArray(names) ? names.length : Object.keys(step.children).length}`];
}

/** When a step and its children worked and when they waited. */
function timesOf(node: StepNode, now: number): WorkAndWait {
  const work: Span[] = [];
  const wait: Span[] = [];
  walk(node, ({ record, children }) => {
    if (record !== undefined) addTimes(record, children.length > 0, now, work, wait);
  });
  return { work: joinSpans(work), wait: joinSpans(wait) };
}

function addTimes(record: StepRecord, hasInside: boolean, now: number, work: Span[], wait: Span[]): void {
  const { kind, state, startedAt: from, endedAt, input, failures = [], attemptedAt = from } = record;
  const to = Math.max(from, endedAt ?? now);
  // A turn of a repeat with `every` waits for its time.
  const isPaced = kind === "repeat" && /\[\d+\]$/.test(record.path) && input !== undefined;
  if (WAITS.has(kind) || isPaced) wait.push({ from, to });
  else if (hasInside || attemptedNever(record)) return;
  else {
    for (const { startedAt, endedAt } of failures) work.push({ from: startedAt, to: endedAt });
    if (state !== "retrying") work.push({ from: Math.max(from, attemptedAt), to });
    if (state === "retrying" || failures.length > 0) wait.push({ from, to });
  }
}

function attemptedNever({ attempts, kind }: StepRecord): boolean {
  return attempts === 0 || kind === "branch" || kind === "onError";
}

/** Folds siblings that are done into one line, except next to those that are not. */
function foldDone(groups: Row[][], depth: number, { open }: RowContext): Row[] {
  if (groups.length <= MOST_SIBLINGS) return groups.flat();
  const opened = groups.findIndex((rows) => rows.some(({ path }) => path === open));
  const isPlain = groups.map(([{ progress, loop }], index) =>
    (progress === "done" || progress === "none") && loop === undefined && index !== opened
  );
  const isKept = (index: number) =>
    index < EDGE || index >= groups.length - EDGE || (opened !== -1 && Math.abs(index - opened) <= BESIDE_OPEN) ||
    isPlain.slice(index - EDGE, index + EDGE + 1).some((plain) => !plain);
  const shown: Row[] = [];
  let hidden: Row[] = [];
  const flush = () => {
    if (hidden.length >= FEWEST_FOLDED) shown.push(foldedRow(hidden, depth));
    else shown.push(...hidden);
    hidden = [];
  };
  for (const [index, group] of groups.entries()) {
    if (isKept(index)) flush(), shown.push(...group);
    else hidden.push(group[0]);
  }
  flush();
  return shown;
}

function foldedRow(rows: Row[], depth: number): Row {
  const times = {
    work: joinSpans(rows.flatMap(({ times }) => times.work)),
    wait: joinSpans(rows.flatMap(({ times }) => times.wait)),
  };
  const isDone = rows.every(({ progress }) => progress === "done");
  const work = lengthOf(times.work);
  return {
    depth,
    path: rows[0].path,
    name: `${rows[0].name} to ${rows.at(-1)!.name}`,
    progress: isDone ? "done" : "none",
    isCurrent: false,
    outcome: [`${rows.length} steps ${isDone ? "succeeded" : "not reached"}`],
    attempts: 0,
    work,
    wait: lengthOf(joinSpans([...times.work, ...times.wait])) - work,
    times,
  };
}
