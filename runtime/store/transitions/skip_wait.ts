import type { Rows } from "../ledger/rows.ts";
import type { Operated } from "../store.ts";
import { readWaits } from "./run_rows.ts";
import { addNote } from "./trace.ts";
import type { At } from "./transition.ts";
import { endWait } from "./waits.ts";

/** A request of an operator to skip a wait. */
export interface Skipping {
  run: string;
  step: string | undefined;
  by: string;
}

/** Skips a wait of a run: the wait of `step`, or its only one. */
export function skipWait(rows: Rows, { run, step, by }: Skipping, { now }: At): Operated {
  const waiting = readWaits(rows, run).map((wait) => wait.step);
  const asked = step ?? waiting[0];
  if (asked === undefined) return refused(`Cannot skip a wait of run ${run}: none of its steps waits`);
  if (!waiting.includes(asked)) {
    return refused(`Cannot skip step "${asked}" of run ${run}: it does not wait; ${those(waiting)}`);
  }
  if (step === undefined && waiting.length > 1) {
    return refused(`Cannot skip a wait of run ${run} without a step: several wait; ${those(waiting)}`);
  }
  endWait(rows, { run, path: asked }, { state: "skipped", output: null }, now);
  addNote(rows, run, `Wait "${asked}" skipped by ${by}`, now);
  return { kind: "done", step: asked };
}

function refused(reason: string): Operated {
  return { kind: "refused", reason };
}

function those(waiting: string[]): string {
  return waiting.length === 0 ? "none does" : `those that do: ${waiting.join(", ")}`;
}
