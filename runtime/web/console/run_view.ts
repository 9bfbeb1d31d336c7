import type { Rule } from "../../model/rule.ts";
import { isFinal, type Run, type StepRecord } from "../../model/run.ts";
import type { Trace } from "../../store/store.ts";
import { lastEndOf, MOST_ROWS, type Row, rowsOf } from "./run_rows.ts";
import { type Axis, join, layOutAxis, lengthOf, type Span } from "./run_timeline.ts";
import { isHandled, runTree, type StepNode, walk } from "./run_tree.ts";
import { sentenceOf, stepFinder, type Text } from "./run_words.ts";

/** All that the page of a run shows of its steps. Pure: the page only draws it. */
export interface RunView {
  sentence: Text;
  /** Since when it is in its state; milliseconds since the epoch. */
  since: number;
  /** Milliseconds that it worked and waited so far. */
  work: number;
  wait: number;
  axis: Axis;
  rows: Row[];
  /** Rows that the page has no room for. */
  more: number;
  /** The step that is open: the one asked for, else the one that failed the run. */
  open: string | undefined;
  /** The step that failed the run. */
  failed: string | undefined;
  /** A TypeScript run that has not ended: which steps follow, its code says. */
  isOpenEnded: boolean;
}

/** What the view is made from. */
export interface RunSource {
  trace: Trace;
  /** The rule at the run's version, if that is still stored. */
  rule: Rule | undefined;
  /** The path of the step to open. */
  step?: string;
  now: number;
}

/** What the page of a run shows. Takes a few milliseconds for a run of 1,000 turns. */
export function viewRun({ trace: { run, steps }, rule, step, now }: RunSource): RunView {
  const roots = runTree(steps, rule);
  const failed = run.state === "failed" ? failedStep(roots, run.error?.message) : undefined;
  const open = step ?? failed?.path;
  const hasPlan = rule !== undefined && rule.then !== "function";
  const rows = rowsOf(roots, { run, now, open, hasPlan });
  const whole = { from: run.createdAt, to: Math.max(run.createdAt + 1, run.endedAt ?? now) };
  const isWorking = run.state === "running" && !hasPlan;
  // What code does between its steps is not recorded.
  const coded = isWorking ? [{ from: Math.max(run.startedAt ?? run.createdAt, lastEndOf(roots)), to: now }] : [];
  const work = join([...rows.flatMap(({ times }) => times.work), ...coded]);
  const shown = withinRoom(rows);
  return {
    sentence: sentenceOf(run, { step: failed?.path ?? attempted(rows, steps), stepAt: stepFinder(rule) }),
    since: run.endedAt ?? run.waits?.[0]?.since ?? run.startedAt ?? run.createdAt,
    ...totals(run, whole, work, rows),
    axis: layOutAxis(whole, work),
    rows: shown,
    more: rows.length - shown.length,
    open,
    failed: failed?.path,
    isOpenEnded: rule?.then === "function" && !isFinal(run.state),
  };
}

/** The step that is attempted, as far as can be seen. */
function attempted(rows: Row[], steps: StepRecord[]): string | undefined {
  return rows.find(({ isCurrent }) => isCurrent)?.path ?? steps.find(({ state }) => state === "retrying")?.path;
}

/** What a run spent is known when it is suspended or has ended; until then, its steps say how long they waited. */
function totals({ state, spent }: Run, { from, to }: Span, work: Span[], rows: Row[]): { work: number; wait: number } {
  const elapsed = to - from;
  if (state !== "running") return { work: Math.min(spent, elapsed), wait: Math.max(0, elapsed - spent) };
  const wait = lengthOf(join([...work, ...rows.flatMap(({ times }) => times.wait)])) - lengthOf(work);
  return { work: elapsed - wait, wait };
}

/** The step that failed the run: the innermost one with the run's error, else the last one that nothing handled. */
function failedStep(roots: StepNode[], message: string | undefined): StepRecord | undefined {
  const failures: StepRecord[] = [];
  for (const root of roots) {
    walk(root, (node) => {
      const { record } = node;
      if (record?.state === "failed" && record.kind !== "onError" && !isHandled(node)) failures.push(record);
    });
  }
  const own = failures.filter(({ error }) => error?.message === message);
  return (own.length > 0 ? own : failures).toSorted((a, b) => depthOf(a) - depthOf(b)).at(-1);
}

function depthOf({ path }: StepRecord): number {
  return path.split(/[/[]/).length;
}

/** The first rows, and of those behind them the ones that are open, failed or not done. */
function withinRoom(rows: Row[]): Row[] {
  if (rows.length <= MOST_ROWS) return rows;
  const matters = ({ open, progress }: Row) => open !== undefined || progress === "open" || progress === "failed";
  const kept = new Set(rows.filter(matters).slice(0, MOST_ROWS));
  for (const row of rows) if (kept.size < MOST_ROWS) kept.add(row);
  return rows.filter((row) => kept.has(row));
}
