import type { Context } from "./context.ts";
import { dropForms } from "./forms.ts";

/** How many rows are dropped between two looks at the clock. */
const BATCH = 16;

/**
 * Drops what retention gives up first to last: finished traces with the bodies of their events, then the verdict
 * detail of each rule behind its newest. Never a live run, an identity or a counter.
 * @param until by `performance.now()`
 * @returns `nothing` where all that may go is gone; `more` where time ran out before anything was found
 */
export function dropOldest(context: Context, until: number): "dropped" | "nothing" | "more" {
  const { database } = context;
  const traces = database.all<{ key: number; delivery: string }>(
    "SELECT key, delivery FROM events WHERE live = 0 AND whole = 1 ORDER BY key LIMIT ?",
    BATCH,
  );
  for (const { key, delivery } of traces) dropTrace(context, key, delivery === "unmatched");
  return traces.length > 0 ? "dropped" : dropVerdicts(context, until);
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
