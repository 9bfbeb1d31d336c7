import type { Event } from "../../model/event.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Admission, Candidate, ClaimedRun, Lease } from "../store.ts";
import { ASKING, ASKING_BOUNDS, boundsOf, enterLane, isNext, laneOf } from "./lanes.ts";
import { toRun } from "./run_rows.ts";

/** A lease that claims nothing. */
export const NO_LEASE: Lease = { owner: "", max: 0 };

/** The data of a new run. */
export interface NewRun {
  id: string;
  event: number;
  /** The newest event, if that is not its own. */
  began?: number;
  candidate: Pick<Candidate, "rule" | "version" | "trigger">;
  admission: Admission;
  readyAt: number;
  now: number;
  replayOf?: string;
  /** Decremented if the run is claimed. */
  lease?: Lease;
}

/**
 * Stores a new run as `queued`, in the group of its key or of runs whose condition has not run yet. If its lease allows and no
 * other run comes first, it is `running` instead.
 * @returns its row
 */
export function putRun(rows: Rows, run: NewRun): RunRow {
  const { rule, version, trigger } = run.candidate;
  const { asksFirst, key } = run.admission;
  const lane = asksFirst ? ASKING : laneOf(key);
  const bounds = asksFirst ? ASKING_BOUNDS : boundsOf(run.admission);
  const { lease = NO_LEASE } = run;
  const isHeld = run.readyAt > run.now;
  const isClaimed = lease.max > 0 && !isHeld && isNext(rows, rule, lane, bounds, run.now);
  const waitingFor = asksFirst ? "its condition" : isHeld ? "the rule's limit" : undefined;
  const row: RunRow = {
    id: run.id,
    rule,
    version,
    trigger,
    event: run.event,
    began: run.began ?? run.event,
    state: isClaimed ? "running" : "queued",
    key,
    lane,
    createdAt: run.now,
    spent: 0,
    alone: 0,
    ...(isHeld && { due: run.readyAt }),
    ...(asksFirst && { admission: run.admission }),
    ...(run.replayOf !== undefined && { replayOf: run.replayOf }),
    ...(isClaimed
      // As in `claimRuns`: running the condition is not a start.
      ? { owner: lease.owner, ...(!asksFirst && { startedAt: run.now }) }
      : { readyAt: run.readyAt, ...(waitingFor !== undefined && { waitingFor }) }),
  };
  rows.put("run", run.id, row);
  enterLane(rows, rule, lane, bounds, isClaimed ? undefined : run.readyAt);
  if (isClaimed) lease.max--;
  return row;
}

/** A new run that was claimed at once. */
export function newlyClaimed(row: RunRow, event: Event): ClaimedRun {
  return { run: toRun(row, event), steps: [], asksFirst: row.admission !== undefined, again: false, alone: 0 };
}
