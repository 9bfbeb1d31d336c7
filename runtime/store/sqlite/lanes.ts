import type { Admission } from "../store.ts";
import type { Database } from "./database.ts";

/**
 * A lane holds the live runs of one rule that count together for `mode`: those of one key, or those whose condition is
 * yet to be asked. Its row says when its next run may be claimed, so that claiming looks at one row for each lane,
 * whether one run stands in it or 100,000.
 */
export interface Lane {
  /** Only the oldest live run may run. */
  inOrder: boolean;
  /** How many may run at once. */
  room: number;
}

/** The lane of runs whose function `if` is unasked: in event order, one at a time. */
export const ASKING = "?";
export const ASKING_LANE: Lane = { inOrder: true, room: 1 };

/** The lane of a key; null is a group of its own. */
export function laneOf(key: string | null): string {
  return JSON.stringify(key);
}

/** The lane that an admission asks for. */
export function laneFor({ mode, max }: Pick<Admission, "mode" | "max">): Lane {
  return { inOrder: mode === "queued", room: mode === "parallel" ? max : 1 };
}

/** Whether a run that is put into a lane may be claimed at once: it has room there, and no other one goes first. */
export function isNext(database: Database, rule: string, lane: string, { inOrder, room }: Lane, now: number): boolean {
  const known = readLane(database, rule, lane);
  if (known === undefined) return true;
  if (inOrder || known.in_order || known.room !== room) return false;
  return (known.next_at === null || known.next_at > now) && hasRoom(database, rule, lane, room);
}

/**
 * Makes a lane, or gives it its rule's present bounds, after a run has been put into it.
 * @param readyAt of that run; null where it is running
 */
export function enterLane(
  database: Database,
  rule: string,
  lane: string,
  { inOrder, room }: Lane,
  readyAt: number | null,
): void {
  const order = Number(inOrder);
  const known = readLane(database, rule, lane);
  if (known === undefined) {
    database.run(
      "INSERT INTO lanes (rule, lane, in_order, room, next_at) VALUES (@rule, ?, ?, ?, ?)",
      rule,
      lane,
      order,
      room,
      readyAt,
    );
    return;
  }
  if (known.in_order !== order || known.room !== room) {
    database.run("UPDATE lanes SET in_order = ?, room = ? WHERE rule = @rule AND lane = ?", order, room, rule, lane);
  } else if (readyAt === null && known.next_at === null) {
    return;
  } else if (readyAt !== null && !inOrder && known.next_at !== null && known.next_at <= readyAt) {
    // The usual case under load: another run goes first, so nothing changes.
    return;
  }
  refreshLane(database, rule, lane);
}

/** Finds a lane's next run anew, after something in it changed; a lane without live runs goes. */
export function refreshLane(database: Database, rule: string, lane: string): void {
  const known = readLane(database, rule, lane);
  if (known === undefined) return;
  const head = oldestInLane(database, rule, lane);
  if (head === undefined) {
    database.run("DELETE FROM lanes WHERE rule = @rule AND lane = ?", rule, lane);
    return;
  }
  const ready = known.in_order ? head.ready_at : nextReady(database, rule, lane);
  // In order, too: an older run that is retried stands before one that is running.
  const next = ready !== null && hasRoom(database, rule, lane, known.room) ? ready : null;
  if (next !== known.next_at) {
    database.run("UPDATE lanes SET next_at = ? WHERE rule = @rule AND lane = ?", next, rule, lane);
  }
}

/** The run of a lane that is to be claimed at its `next_at`. */
export function headOfLane(database: Database, rule: string, lane: string, inOrder: boolean): string {
  if (inOrder) return oldestInLane(database, rule, lane)!.id;
  return database.value<string>(
    "SELECT id FROM runs WHERE rule = @rule AND lane = ? AND ready_at IS NOT NULL ORDER BY ready_at, id LIMIT 1",
    rule,
    lane,
  )!;
}

/** The run that replaces another one in mode `restart`: the next one that was not asked for by an operator. */
export function newerInLane(database: Database, run: { id: string; rule: string; lane: string }): string | undefined {
  return database.value<string>(
    "SELECT id FROM runs WHERE rule = @rule AND lane = ? AND ended_at IS NULL AND replay_of IS NULL AND id > @run ORDER BY id LIMIT 1",
    run.rule,
    run.lane,
    run.id,
  );
}

function readLane(database: Database, rule: string, lane: string) {
  return database.one<{ in_order: number; room: number; next_at: number | null }>(
    "SELECT in_order, room, next_at FROM lanes WHERE rule = @rule AND lane = ?",
    rule,
    lane,
  );
}

function oldestInLane(database: Database, rule: string, lane: string) {
  return database.one<{ id: string; ready_at: number | null }>(
    "SELECT id, ready_at FROM runs WHERE rule = @rule AND lane = ? AND ended_at IS NULL ORDER BY id LIMIT 1",
    rule,
    lane,
  );
}

function hasRoom(database: Database, rule: string, lane: string, room: number): boolean {
  const running = database.value<number>(
    "SELECT count(*) FROM runs WHERE rule = @rule AND lane = ? AND owner IS NOT NULL",
    rule,
    lane,
  )!;
  return running < room;
}

function nextReady(database: Database, rule: string, lane: string): number | null {
  return database.value<number | null>(
    "SELECT min(ready_at) FROM runs WHERE rule = @rule AND lane = ? AND ready_at IS NOT NULL",
    rule,
    lane,
  )!;
}
