import type { Event } from "../../model/event.ts";
import type { Run, StepWait } from "../../model/run.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";

/** Converts a row to a run. @param waits what its steps wait for */
export function toRun(row: RunRow, event: Event, waits: StepWait[] = []): Run {
  return {
    id: row.id,
    rule: row.rule,
    version: row.version,
    trigger: row.trigger,
    event,
    state: row.state,
    ...(row.waitingFor !== undefined
      ? { waitingFor: row.waitingFor }
      : row.state === "queued" && { waitingFor: "its turn" }),
    ...(waits.length > 0 && { waits }),
    ...(row.due !== undefined && { due: row.due }),
    ...(row.key !== null && { key: row.key }),
    createdAt: row.createdAt,
    ...(row.startedAt !== undefined && { startedAt: row.startedAt }),
    ...(row.endedAt !== undefined && { endedAt: row.endedAt }),
    spent: row.spent,
    ...(row.error !== undefined && { error: row.error }),
    ...(row.output !== undefined && { output: row.output }),
    ...(row.replayOf !== undefined && { replayOf: row.replayOf }),
  };
}

/** What a run's steps wait for, oldest first. */
export function readWaits(rows: Rows, run: string): StepWait[] {
  return rows.range("wait", "run", join(run, "")).map(({ path, kind, what, since, until }) => ({
    step: path,
    kind,
    what,
    since,
    ...(until !== undefined && { until }),
  }));
}

/** A row without the fields that say when and how it resumes. */
export function withoutPlans(row: RunRow): RunRow {
  const { waitingFor: _waitingFor, due: _due, readyAt: _readyAt, owner: _owner, ...rest } = row;
  return rest;
}
