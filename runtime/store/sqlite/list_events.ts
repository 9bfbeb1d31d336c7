import type { EventRecord, Store } from "../store.ts";
import type { Database, Param } from "./database.ts";
import { readEvent, readVerdicts } from "./rows.ts";

/** Events with their verdicts, newest first. */
export function listEvents(database: Database, filter: Parameters<Store["listEvents"]>[0]): EventRecord[] {
  const where: string[] = [];
  const params: Param[] = [];
  const also = (clause: string, param: Param) => {
    where.push(clause);
    params.push(param);
  };
  if (filter.rule !== undefined) also("rule = @rule", filter.rule);
  if (filter.type !== undefined) also("type = ?", filter.type);
  if (filter.before !== undefined) also(filter.rule === undefined ? "key < ?" : "event < ?", Number(filter.before));
  // A rule's events are found by its verdicts, which stand in the order of events; two of one event are one row.
  const [from, order] = filter.rule === undefined
    ? ["events", "key"]
    : ["verdicts CROSS JOIN events ON key = event", "event"];
  const sql = `SELECT DISTINCT key, delivery, received_at, deliveries FROM ${from} ` +
    `${where.length > 0 ? `WHERE ${where.join(" AND ")} ` : ""}ORDER BY ${order} DESC LIMIT ?`;
  const rows = database.all<
    { key: number; delivery: EventRecord["delivery"]; received_at: number; deliveries: number }
  >(
    sql,
    ...params,
    filter.limit,
  );
  return rows.map((row) => ({
    key: String(row.key),
    event: readEvent(database, row.key),
    receivedAt: row.received_at,
    deliveries: row.deliveries,
    delivery: row.delivery,
    verdicts: readVerdicts(database, row.key),
    ended: readEnded(database, row.key),
  }));
}

/** The waits that an event ended, by the age of their runs. */
function readEnded(database: Database, event: number): EventRecord["ended"] {
  return database.all<EventRecord["ended"][number]>(
    "SELECT rule, run, path AS step FROM taken CROSS JOIN runs ON runs.id = run WHERE taken.event = ? ORDER BY run",
    event,
  );
}
