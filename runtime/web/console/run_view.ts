import type { Rule } from "../../model/rule.ts";
import { isFinal, type Run, type StepRecord } from "../../model/run.ts";
import type { Trace } from "../../store/store.ts";
import { lastEndOf, MOST_ROWS, type Row, rowsOf } from "./run_rows.ts";
import { type Axis, joinSpans, layOutAxis, lengthOf, type Span } from "./run_timeline.ts";
import { isHandled, runTree, type StepNode, walk } from "./run_tree.ts";
import { sentenceOf, stepFinder, type Text } from "./run_words.ts";

/** Everything that the page of a run shows about its steps. Pure: the page only renders it. */
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
  /** The open step: the requested one, or else the one that failed the run. */
  open: string | undefined;
  /** The step that failed the run. */
  failed: string | undefined;
  /** A TypeScript run that has not ended: only its code knows which steps follow. */
  isOpenEnded: boolean;
}

/** The input from which the view is made. */
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
  // What the code does between its steps is not recorded.
  const coded = isWorking ? [{ from: Math.max(run.startedAt ?? run.createdAt, lastEndOf(roots)), to: now }] : [];
  const work = joinSpans([...rows.flatMap(({ times }) => times.work), ...coded]);
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

/** The step that is probably being attempted. */
function attempted(rows: Row[], steps: StepRecord[]): string | undefined {
  return rows.find(({ isCurrent }) => isCurrent)?.path ?? steps.find(({ state }) => state === "retrying")?.path;
}

/** A run's times are recorded when it is suspended or ends; until then, its steps show how long they waited. */
function totals({ state, spent }: Run, { from, to }: Span, work: Span[], rows: Row[]): { work: number; wait: number } {
  const elapsed = to - from;
  if (state !== "running") return { work: Math.min(spent, elapsed), wait: Math.max(0, elapsed - spent) };
  const wait = lengthOf(joinSpans([...work, ...rows.flatMap(({ times }) => times.wait)])) - lengthOf(work);
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

/** The first rows; of the later ones only those that are open, failed or not done. */
function withinRoom(rows: Row[]): Row[] {
  if (rows.length <= MOST_ROWS) return rows;
  const matters = ({ open, progress }: Row) => open !== undefined || progress === "open" || progress === "failed";
  const kept = new Set(rows.filter(matters).slice(0, MOST_ROWS));
  for (const row of rows) if (kept.size < MOST_ROWS) kept.add(row);
  return rows.filter((row) => kept.has(row));
}
