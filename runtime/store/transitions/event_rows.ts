import type { Event } from "../../model/event.ts";
import type { EventHeader, EventMore } from "../history/history_lines.ts";
import { ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { EventRow } from "../ledger/tables.ts";
import type { EventIdentity, Reply } from "../store.ts";

/** An event that a live run or an open batch needs. */
export function readEvent(rows: Rows, key: number): Event {
  return rows.get("event", ordered(key))!.event;
}

/** Stores an event: in history, and among the live rows if a live run or batch needs it. */
export function putEvent(rows: Rows, row: EventRow): void {
  if (isNeeded(rows, row.key)) rows.put("event", ordered(row.key), row);
  const { key, receivedAt, delivery, verdicts, event } = row;
  const rules = verdicts.length === 1 ? [verdicts[0].rule] : [...new Set(verdicts.map(({ rule }) => rule))];
  const header: EventHeader = [key, receivedAt, event.type, event.subject ?? null, delivery, rules];
  rows.record({ kind: "event", header, body: row });
}

/** Makes an event from history live again. */
export function reviveEvent(rows: Rows, row: EventRow): void {
  if (!rows.get("event", ordered(row.key))) rows.put("event", ordered(row.key), row);
}

/** Drops an event that no live run or batch needs any more; history keeps it. */
export function releaseEvent(rows: Rows, key: number): void {
  if (isNeeded(rows, key)) return;
  rows.drop("event", ordered(key));
  rows.drop("reply", ordered(key));
}

function isNeeded(rows: Rows, key: number): boolean {
  return rows.count("run", "event", key) > 0 || rows.count("collected", "event", key) > 0;
}

/** Records a change to an accepted event. It is a separate record, which readers combine with the event's own. */
export function addToEvent(rows: Rows, key: number, more: EventMore): void {
  rows.record({ kind: "more", header: ["event", key], body: more });
}

/** Records a reply unless there is one: the first one counts. @returns whether it was recorded */
export function putReply(rows: Rows, key: number, reply: Reply): boolean {
  if (rows.get("reply", ordered(key))) return false;
  rows.put("reply", ordered(key), reply);
  addToEvent(rows, key, { reply });
  const { source, id } = readEvent(rows, key);
  const identity = findIdentity(rows, { source, id });
  if (identity?.key === key) rows.putIdentity(source, id, { ...identity, replied: true });
  return true;
}

/** The stored identity of an event, expired or not. */
export function findIdentity(rows: Rows, { source, id }: EventIdentity) {
  return rows.identities.get(rows.identities.hashOf(source, id));
}
