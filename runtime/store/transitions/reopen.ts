import { isFinalStep, ON_ERROR_STEP, type StepRecord } from "../../model/run.ts";

/** The changes of a retry to a run's records. */
export interface Reopened {
  put: StepRecord[];
  /** Paths. */
  removed: string[];
}

/**
 * Reopens the records of a failed run, so that it resumes after its last good step. The failed step and the steps around it
 * that failed with it are attempted again. Steps that were cancelled because of the failure start anew, and the records of
 * `rule.onError` are removed. Failures that were handled stay, and so do branches that lost against others.
 */
export function reopen(steps: StepRecord[], failedStep: string | undefined, now: number): Reopened {
  const failed = steps.find(({ path }) => path === failedStep);
  const removed = new Set(steps.map(({ path }) => path).filter((path) => isIn(path, ON_ERROR_STEP)));
  const put = new Map<string, StepRecord>();
  const open = (record: StepRecord, attempts: number) => put.set(record.path, opened(record, attempts, now));
  // A step that failed before its first attempt failed in its `if`, which runs again only if the step has no record.
  if (failed?.attempts === 0) removed.add(failed.path);
  else if (failed) open(failed, failed.attempts);
  for (const record of steps) {
    // Its attempt continues: another attempt of a called action would run all its steps again.
    if (failed && record.state === "failed" && failedWith(record.path, failed.path)) open(record, record.attempts - 1);
  }
  const stays = ({ path, state }: StepRecord) => isFinalStep(state) && !put.has(path) && !removed.has(path);
  const cancelled = steps.filter((step) => step.state === "cancelled" && stays(step));
  for (const record of cancelled.sort((a, b) => a.path.length - b.path.length)) {
    if (!steps.some((step) => stays(step) && isAround(step.path, record.path))) removed.add(record.path);
  }
  for (const record of cancelled) {
    const isBegun = record.attempts > 0 && steps.some((step) => stays(step) && isAround(record.path, step.path));
    if (!removed.has(record.path) || !isBegun) continue;
    removed.delete(record.path);
    open(record, record.attempts - 1);
  }
  return { put: [...put.values()], removed: [...removed] };
}

function opened(record: StepRecord, attempts: number, now: number): StepRecord {
  const { endedAt: _endedAt, output: _output, ...rest } = record;
  return { ...rest, state: "retrying", attempts, due: now };
}

function isIn(path: string, around: string): boolean {
  return path === around || isAround(around, path);
}

/** Whether a step is inside another one, or in a turn or attempt of it: `lines` is around `lines[3]/save`. */
function isAround(path: string, inside: string): boolean {
  return inside.length > path.length && inside.startsWith(path) && "/[@".includes(inside[path.length]);
}

/** Whether a failed step failed because of a step inside it, whose failure was not handled in between. */
function failedWith(path: string, inside: string): boolean {
  return isAround(path, inside) && !/^\/(onError|onTimeout)\//.test(inside.slice(path.length));
}
