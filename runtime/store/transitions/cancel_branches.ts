import { isFinalStep, type StepRecord } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import { addNote, readStep, readStepsBelow } from "./trace.ts";
import { cancelStep } from "./waits.ts";

/**
 * Ends branches that lost: these paths, and all steps below them that have not ended, become `cancelled`.
 * @param by the step that ended without them
 */
export function cancelBranches(rows: Rows, run: string, by: StepRecord, paths: string[], now: number): void {
  const lost: string[] = [];
  const failure = by.state === "failed" ? `step "${by.error?.step ?? by.path}" failed` : undefined;
  const reason = failure === undefined
    ? `Its branch lost: "${by.path}" was decided without it`
    : `Its branch was given up: ${failure}`;
  for (const path of paths) {
    const branch: StepRecord = readStep(rows, run, path) ??
      { path, kind: "branch", state: "waiting", attempts: 0, startedAt: now };
    const open = [...readStepsBelow(rows, run, path), branch].filter(({ state }) => !isFinalStep(state));
    for (const record of open) cancelStep(rows, run, record, reason, now);
    if (open.includes(branch)) lost.push(`"${path}"`);
  }
  const them = lost.length === 1 ? "it" : "them";
  const why = failure ?? `"${by.path}" was decided without ${them}`;
  if (lost.length > 0) addNote(rows, run, `Cancelled ${lost.join(", ")}: ${why}`, now);
}
