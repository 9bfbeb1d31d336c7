import type { Rule } from "../../model/rule.ts";
import { CONDITION_STEP, describeState, type StepRecord } from "../../model/run.ts";
import type { Operated } from "../store.ts";
import type { Context } from "./context.ts";
import type { Database } from "./database.ts";
import { enterLane, laneFor, newerInLane } from "./lanes.ts";
import { addNote } from "./notes.ts";
import { putStep } from "./put_step.ts";
import { reopen } from "./reopen.ts";
import { readRunRow, readSteps, type RunRow } from "./rows.ts";
import { getVersion } from "./versions.ts";

/** A failed run lives again and goes on behind its last good step, at its old place among the runs of its key. */
export function retryRun({ database }: Context, id: string, by: string, now: number): Operated | undefined {
  const run = readRunRow(database, id);
  if (!run) return undefined;
  const rule = getVersion(database, run.version);
  const steps = readSteps(database, id);
  const why = refusal(database, run, rule, steps);
  if (rule === undefined || why !== undefined) return { kind: "refused", reason: `Cannot retry run ${id}: ${why}` };
  const step = steps.find(({ path }) => path === run.failed_step)?.path;
  const { put, removed } = reopen(steps, step, now);
  for (const record of put) putStep(database, id, record);
  for (const path of removed) {
    database.run("DELETE FROM steps WHERE run = @run AND path = ?", id, path);
    database.run("DELETE FROM taken WHERE run = @run AND path = ?", id, path);
  }
  revive(database, run, rule, step, now);
  const from = step === undefined ? "behind its last recorded step" : `with step "${step}"`;
  addNote(database, id, `Retried by ${by}: it goes on ${from}`, now);
  return { kind: "done", ...(step !== undefined && { step }) };
}

/** Why a run cannot be retried, and what can be done. */
function refusal(database: Database, run: RunRow, rule: Rule | undefined, steps: StepRecord[]): string | undefined {
  if (run.ended_at === null) return `it has not ended, ${describeState(run.state)}`;
  if (run.state !== "failed") return `${describeState(run.state)}, and only a failed run can be; replay it`;
  if (rule === undefined) {
    return `version ${run.version} of its rule is no longer kept; replay it with the rule as it is now`;
  }
  if (database.value("SELECT whole FROM events WHERE key = ?", run.event) !== 1) {
    return "retention has dropped its event and its trace; send the event again";
  }
  if (steps.some(({ path, state }) => path === CONDITION_STEP && state === "failed")) {
    return "its condition failed, before any step; replay it";
  }
  const newer = rule.mode === "restart" ? newerInLane(database, run) : undefined;
  return newer && `the newer run ${newer} has replaced it, as its rule's mode is restart`;
}

/** @param step the one that failed it; where there is none and it ran out of time, it gets all its time again */
function revive(database: Database, run: RunRow, rule: Rule, step: string | undefined, now: number): void {
  const timedOut = step === undefined && run.error !== null && JSON.parse(run.error).name === "TimeoutError";
  database.run(
    "UPDATE runs SET state = 'queued', ended_at = NULL, error = NULL, failed_step = NULL, output = NULL, woken = 0, " +
      "ready_at = ?, spent = ? WHERE id = @run",
    now,
    timedOut ? 0 : run.spent,
    run.id,
  );
  database.run("UPDATE events SET live = live + 1 WHERE key = ?", run.event);
  database.run("UPDATE rules SET failed = failed - 1 WHERE id = @rule", run.rule);
  enterLane(database, run.rule, run.lane, laneFor(rule), now);
}
