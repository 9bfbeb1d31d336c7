import type { Operated } from "../store.ts";
import type { Context } from "./context.ts";
import { addNote } from "./notes.ts";
import { readRunRow, readWaits } from "./rows.ts";
import { endWait } from "./waits.ts";

/** Ends a wait of a run without what it waits for: that of the step, or its only one. */
export function skipWait(
  { database }: Context,
  run: string,
  step: string | undefined,
  by: string,
  now: number,
): Operated | undefined {
  if (!readRunRow(database, run)) return undefined;
  const waiting = readWaits(database, run).map((wait) => wait.step);
  const asked = step ?? waiting[0];
  if (asked === undefined) return refused(`Cannot skip a wait of run ${run}: none of its steps waits`);
  if (!waiting.includes(asked)) {
    return refused(`Cannot skip step "${asked}" of run ${run}: it does not wait; ${those(waiting)}`);
  }
  if (step === undefined && waiting.length > 1) {
    return refused(`Cannot skip a wait of run ${run} without a step: several wait; ${those(waiting)}`);
  }
  endWait(database, { run, path: asked }, { state: "skipped", output: null }, now);
  addNote(database, run, `Wait "${asked}" skipped by ${by}`, now);
  return { kind: "done", step: asked };
}

function refused(reason: string): Operated {
  return { kind: "refused", reason };
}

function those(waiting: string[]): string {
  return waiting.length === 0 ? "none does" : `those that do: ${waiting.join(", ")}`;
}
