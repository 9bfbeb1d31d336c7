import { join, SEPARATOR } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { LaneRow, RunRow } from "../ledger/tables.ts";
import type { Admission } from "../store.ts";

/**
 * A lane is a concurrency group: the live runs of one rule that count together for `mode`, which are those of one key, or those
 * whose condition has not run yet. Its row says when its next run may be claimed, so that claiming reads one row per group,
 * whether it has one run or 100,000.
 */
export type LaneBounds = Pick<LaneRow, "inOrder" | "room">;

/** The group of runs whose function `if` has not run yet: in event order, one at a time. */
export const ASKING = "?";
export const ASKING_BOUNDS: LaneBounds = { inOrder: true, room: 1 };

/** The group of a key; null is a separate group. */
export function laneOf(key: string | null): string {
  return JSON.stringify(key);
}

/** The bounds of an admission. */
export function boundsOf({ mode, max }: Pick<Admission, "mode" | "max">): LaneBounds {
  return { inOrder: mode === "queued", room: mode === "parallel" ? max : 1 };
}

/** Whether a run added to a group may be claimed at once: a slot is free, and no other run comes first. */
export function isNext(rows: Rows, rule: string, lane: string, { inOrder, room }: LaneBounds, now: number): boolean {
  const key = join(rule, lane);
  const known = rows.get("lane", key);
  if (known === undefined) return true;
  if (inOrder || known.inOrder || known.room !== room) return false;
  return (known.nextAt === undefined || known.nextAt > now) && running(rows, key) < room;
}

/**
 * Creates a group, or updates its bounds to those of its rule, after a run was added to it.
 * @param readyAt of that run; undefined if it is running
 */
export function enterLane(
  rows: Rows,
  rule: string,
  lane: string,
  bounds: LaneBounds,
  readyAt: number | undefined,
): void {
  const { inOrder, room } = bounds;
  const key = join(rule, lane);
  const known = rows.get("lane", key);
  if (known === undefined) {
    rows.put("lane", key, { rule, lane, inOrder, room, ...(readyAt !== undefined && { nextAt: readyAt }) });
    return;
  }
  if (known.inOrder !== inOrder || known.room !== room) {
    rows.put("lane", key, { ...known, inOrder, room });
  } else if (readyAt === undefined && known.nextAt === undefined) {
    return;
  } else if (readyAt !== undefined && !inOrder && known.nextAt !== undefined && known.nextAt <= readyAt) {
    // The usual case under load: another run comes first, so nothing changes.
    return;
  }
  refreshLane(rows, rule, lane);
}

/** Finds a group's next run again after a change; removes a group without live runs. */
export function refreshLane(rows: Rows, rule: string, lane: string): void {
  const key = join(rule, lane);
  const known = rows.get("lane", key);
  if (known === undefined) return;
  const busy = running(rows, key);
  // The index of live runs is read only if none runs: under load most runs end before they are added to it.
  if (busy === 0 && oldestInLane(rows, key) === undefined) {
    rows.drop("lane", key);
    return;
  }
  // Also if in order: an older run that is retried comes before a running one.
  const next = busy < known.room ? headOfLane(rows, known, key) : undefined;
  const nextAt = next?.readyAt;
  if (nextAt === known.nextAt) return;
  const { nextAt: _before, ...rest } = known;
  rows.put("lane", key, nextAt === undefined ? rest : { ...rest, nextAt });
}

/** The run of a group that comes next: at its `nextAt` it is to be claimed. @param key of the group's row */
export function headOfLane(rows: Rows, { rule, lane, inOrder }: LaneRow, key = join(rule, lane)): RunRow | undefined {
  return inOrder ? oldestInLane(rows, key) : rows.first("run", "ready", key + SEPARATOR);
}

/** The live runs of a group, oldest first. */
export function liveInLane(rows: Rows, rule: string, lane: string, limit = Infinity): RunRow[] {
  return rows.range("run", "lane", join(rule, lane, ""), limit);
}

/** The run that replaces another one in mode `restart`: the next one that no operator requested. */
export function newerInLane(rows: Rows, { id, rule, lane }: Pick<RunRow, "id" | "rule" | "lane">): string | undefined {
  const prefix = join(rule, lane, "");
  for (let after = prefix + id;;) {
    const next = rows.first("run", "lane", prefix, after);
    if (next === undefined || next.replayOf === undefined) return next?.id;
    after = prefix + next.id;
  }
}

function oldestInLane(rows: Rows, key: string): RunRow | undefined {
  return rows.first("run", "lane", key + SEPARATOR);
}

/** How many runs of a group are running. */
function running(rows: Rows, key: string): number {
  return rows.count("run", "running", key);
}
