import type { Event } from "../../model/event.ts";
import type { Run } from "../../model/run.ts";
import type { Admission, Candidate, ClaimedRun, Lease } from "../store.ts";
import type { Context } from "./context.ts";
import { ASKING, ASKING_LANE, enterLane, isNext, laneFor, laneOf } from "./lanes.ts";

/** Nothing is claimed. */
export const NO_LEASE: Lease = { owner: "", max: 0 };

/** A run that is to be made. */
export interface NewRun {
  id: string;
  event: number;
  /** The newest event, where that is not its own. */
  began?: number;
  candidate: Pick<Candidate, "rule" | "version" | "trigger">;
  admission: Admission;
  readyAt: number;
  now: number;
  replayOf?: string;
  /** Counted down where the run is claimed. */
  lease?: Lease;
}

/**
 * Stores a new run as `queued`, in the lane of its key or of those whose condition is to be asked.
 * @returns whether it is `running` instead, claimed on its lease
 */
export function putRun({ database }: Context, run: NewRun): boolean {
  const { rule, version, trigger } = run.candidate;
  const { asksFirst, key } = run.admission;
  const lane = asksFirst ? ASKING : laneOf(key);
  const bounds = asksFirst ? ASKING_LANE : laneFor(run.admission);
  const held = run.readyAt > run.now;
  const { lease = NO_LEASE } = run;
  const isClaimed = lease.max > 0 && !held && isNext(database, rule, lane, bounds, run.now);
  database.run(
    "INSERT INTO runs (id, rule, version, trigger_id, event, began, state, waiting_for, due, key, lane, ready_at, " +
      "owner, started_at, admission, created_at, replay_of) " +
      "VALUES (@run, @rule, @version, ?, ?, ?, @state, ?, ?, $key, ?, ?, @owner, ?, $admission, ?, @replayOf)",
    run.id,
    rule,
    version,
    trigger,
    run.event,
    run.began ?? run.event,
    isClaimed ? "running" : "queued",
    isClaimed ? undefined : asksFirst ? "its condition" : held ? "the rule's limit" : undefined,
    held ? run.readyAt : undefined,
    key,
    lane,
    isClaimed ? undefined : run.readyAt,
    isClaimed ? lease.owner : undefined,
    // As in `claimRuns`: asking is not yet the run's own work.
    isClaimed && !asksFirst ? run.now : undefined,
    asksFirst ? run.admission : undefined,
    run.now,
    run.replayOf,
  );
  enterLane(database, rule, lane, bounds, isClaimed ? null : run.readyAt);
  if (isClaimed) lease.max--;
  return isClaimed;
}

/** A run that was claimed as it was made, as reading it back would give it. */
export function newlyClaimed({ database }: Context, made: NewRun, event: Event): ClaimedRun {
  const { asksFirst, key } = made.admission;
  const run: Run = {
    id: made.id,
    rule: made.candidate.rule,
    version: made.candidate.version,
    trigger: made.candidate.trigger,
    event: database.asStored(event),
    state: "running",
    ...(key !== null && { key: database.asStored(key) }),
    createdAt: made.now,
    ...(!asksFirst && { startedAt: made.now }),
    spent: 0,
  };
  return { run, steps: [], asksFirst, again: false, alone: 0 };
}
