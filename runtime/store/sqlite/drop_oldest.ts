import type { Context } from "./context.ts";
import type { Database } from "./database.ts";
import { expectedBehind } from "./expected.ts";
import { dropForms } from "./forms.ts";

/** How many rows are dropped between two looks at the clock. */
const BATCH = 16;

/** How many events that are still expected are passed over at a time. */
const PASSED = 256;

/**
 * Drops what retention gives up first to last: finished traces with the bodies of their events, then the verdict
 * detail of each rule behind its newest. Never a live run, an event that one may still wait for, an identity or a counter.
 * @param until by `performance.now()`
 * @returns `nothing` where all that may go is gone; `more` where time ran out before anything was found
 */
export function dropOldest(context: Context, until: number): "dropped" | "nothing" | "more" {
  return dropTraces(context, until) ?? dropVerdicts(context, until);
}

/** Goes on behind the events that it had to pass over; a run that ends takes it back to its own. */
function dropTraces(context: Context, until: number): "dropped" | "more" | undefined {
  const { database, sweep } = context;
  for (let most = BATCH;; most = PASSED) {
    const events = database.all<{ key: number; type: string; delivery: string }>(
      "SELECT key, type, delivery FROM events WHERE live = 0 AND whole = 1 AND key > ? ORDER BY key LIMIT ?",
      sweep.passed,
      most,
    );
    const superfluous = events.filter(expectedByNone(database)).slice(0, BATCH);
    for (const { key, delivery } of superfluous) dropTrace(context, key, delivery === "unmatched");
    if (superfluous.length > 0) {
      sweep.dropped = true;
      return "dropped";
    }
    sweep.passed = events.at(-1)?.key ?? sweep.passed;
    if (events.length < most) return undefined;
    if (performance.now() > until) return "more";
  }
}

/** Asks once for each type. */
function expectedByNone(database: Database): (event: { key: number; type: string }) => boolean {
  const behind = new Map<string, number>();
  return ({ key, type }) => {
    if (!behind.has(type)) behind.set(type, expectedBehind(database, type) ?? Infinity);
    return key <= behind.get(type)!;
  };
}

/** Drops an event's body and reply, and what its runs did; of an unmatched event nothing is left to show. */
function dropTrace({ database }: Context, event: number, unmatched: boolean): void {
  database.run("DELETE FROM bodies WHERE event = ?", event);
  database.run("DELETE FROM replies WHERE event = ?", event);
  for (const { id } of database.all<{ id: string }>("SELECT id FROM runs WHERE event = ? ORDER BY id", event)) {
    database.run("DELETE FROM steps WHERE run = @run", id);
    database.run("DELETE FROM notes WHERE run = @run", id);
    database.run("DELETE FROM taken WHERE run = @run", id);
    dropForms(database, id);
    database.run("UPDATE runs SET output = NULL WHERE id = @run AND output IS NOT NULL", id);
  }
  if (unmatched) database.run("DELETE FROM events WHERE key = ?", event);
  else database.run("UPDATE events SET whole = 0 WHERE key = ?", event);
}

/** Goes on where the last call stopped: rule by rule, so that rules with little to drop are not counted each time. */
function dropVerdicts(context: Context, until: number): "dropped" | "nothing" | "more" {
  const { database, retention, sweep } = context;
  for (;;) {
    const rule = database.value<string>("SELECT id FROM rules WHERE id >= @rule ORDER BY id LIMIT 1", sweep.rule);
    if (rule === undefined) break;
    const superfluous = findSuperfluous(context, rule, retention.verdicts);
    for (const event of superfluous) dropVerdict(context, rule, event);
    if (superfluous.length > 0) {
      sweep.dropped = true;
      return "dropped";
    }
    // The smallest text behind the rule's id.
    sweep.rule = `${rule}\u0001`;
    if (performance.now() > until) return "more";
  }
  const { dropped } = sweep;
  sweep.passed = 0;
  sweep.rule = "";
  sweep.dropped = false;
  return dropped ? "more" : "nothing";
}

/** Events of a rule behind its newest `kept`, oldest first, that nothing needs any more. */
function findSuperfluous({ database }: Context, rule: string, kept: number): number[] {
  const boundary = database.value<number>(
    "SELECT event FROM verdicts WHERE rule = @rule ORDER BY event DESC LIMIT 1 OFFSET ?",
    rule,
    kept,
  );
  if (boundary === undefined) return [];
  return database.all<{ event: number }>(
    "SELECT event FROM verdicts CROSS JOIN events ON key = event " +
      "WHERE rule = @rule AND event <= ? AND live = 0 AND whole = 0 ORDER BY event LIMIT ?",
    rule,
    boundary,
    BATCH,
  ).map(({ event }) => event);
}

function dropVerdict({ database }: Context, rule: string, event: number): void {
  database.run("DELETE FROM verdicts WHERE event = ? AND rule = @rule", event, rule);
  database.run("DELETE FROM runs WHERE event = ? AND rule = @rule", event, rule);
  database.run("DELETE FROM events WHERE key = ? AND NOT EXISTS (SELECT 1 FROM verdicts WHERE event = key)", event);
}
