import type { Run } from "../../model/run.ts";
import type { Store, Trace } from "../store.ts";
import type { Database, Param } from "./database.ts";
import { eventKey } from "./replies.ts";
import { readRunRow, readSteps, RUN_COLUMNS, type RunRow, toRun } from "./rows.ts";

/** Runs, newest first. Without those that only their condition was asked of. */
export function listRuns(database: Database, filter: Parameters<Store["listRuns"]>[0]): Run[] {
  const where = ["listed = 1"];
  const params: Param[] = [];
  const also = (clause: string, param: Param) => {
    where.push(clause);
    params.push(param);
  };
  if (filter.event) {
    const event = eventKey(database, filter.event);
    if (event === undefined) return [];
    also("event = ?", event);
  }
  if (filter.rule !== undefined) also("rule = @rule", filter.rule);
  if (filter.state !== undefined) also("state = @state", filter.state);
  if (filter.before !== undefined) also("id < @before", filter.before);
  // Those that wait are few beside all that ended: they are found by their waits, whose index has them in order.
  const [from, order] = filter.waiting
    ? ["waits CROSS JOIN runs ON id = run", "GROUP BY run ORDER BY run"]
    : ["runs", "ORDER BY id"];
  const sql = `SELECT ${RUN_COLUMNS} FROM ${from} WHERE ${where.join(" AND ")} ${order} DESC LIMIT ?`;
  return database.all<RunRow>(sql, ...params, filter.limit).map((row) => toRun(database, row));
}

/** All that is known of a run. */
export function getRun(database: Database, id: string): Trace | undefined {
  const row = readRunRow(database, id);
  if (!row) return undefined;
  return {
    run: toRun(database, row),
    steps: readSteps(database, id),
    notes: database.all<Trace["notes"][0]>("SELECT at, text FROM notes WHERE run = @run ORDER BY position", id),
  };
}
