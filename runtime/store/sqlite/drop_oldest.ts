import { type Context, newSweep } from "./context.ts";
import type { Database } from "./database.ts";
import { expectedBehind } from "./expected.ts";
import { dropForms } from "./forms.ts";

/** How many events, and bytes of their bodies, are dropped at a time: one by one they would cost three times as much. */
const BATCH = 64;
const BATCH_BYTES = 128 * 1024;

/** A parameter that is a list in JSON. */
const LIST = "(SELECT value FROM json_each(@list))";

/** How many events that are still needed are passed over at a time. */
const PASSED = 256;

/**
 * Verdicts that were all looked at in vain, such as those on 200,000 queued runs, are looked at again once as many traces as this
 * share of them have been dropped: else each arrival at the cap would pass over all of them.
 */
const WORTHWHILE = 1 / 20;

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
    const events = database.all<DroppableEvent>(
      "SELECT key, type, delivery, octet_length(body) AS bytes FROM events JOIN bodies ON event = key " +
        "WHERE live = 0 AND whole = 1 AND key > ? ORDER BY key LIMIT ?",
      sweep.passed,
      most,
    );
    const superfluous = batchOf(events.filter(expectedByNone(database)));
    if (superfluous.length > 0) {
      dropTracesOf(context, superfluous);
      sweep.dropped = true;
      sweep.rest -= superfluous.length;
      return "dropped";
    }
    sweep.passed = events.at(-1)?.key ?? sweep.passed;
    if (events.length < most) return undefined;
    if (performance.now() > until) return "more";
  }
}

interface DroppableEvent {
  key: number;
  type: string;
  delivery: string;
  /** Of its body. */
  bytes: number;
}

function batchOf(events: DroppableEvent[]): DroppableEvent[] {
  let bytes = 0;
  const end = events.findIndex((event) => (bytes += event.bytes) > BATCH_BYTES);
  return events.slice(0, Math.min(BATCH, end === -1 ? BATCH : end + 1));
}

/** Asks once for each type. */
function expectedByNone(database: Database): (event: DroppableEvent) => boolean {
  const behind = new Map<string, number>();
  return ({ key, type }) => {
    if (!behind.has(type)) behind.set(type, expectedBehind(database, type) ?? Infinity);
    return key <= behind.get(type)!;
  };
}

/** Drops the bodies and replies of events, and what their runs did; of an unmatched event nothing is left to show. */
function dropTracesOf({ database }: Context, dropped: DroppableEvent[]): void {
  const keysOf = (events: typeof dropped) => JSON.stringify(events.map(({ key }) => key));
  const all = keysOf(dropped);
  const runs = JSON.stringify(
    database.all<{ id: string }>(`SELECT id FROM runs WHERE event IN ${LIST} ORDER BY id`, all).map(({ id }) => id),
  );
  database.run(`DELETE FROM bodies WHERE event IN ${LIST}`, all);
  database.run(`DELETE FROM replies WHERE event IN ${LIST}`, all);
  for (const table of ["steps", "notes", "taken"]) database.run(`DELETE FROM ${table} WHERE run IN ${LIST}`, runs);
  const asked = database.all<{ run: string }>(`SELECT DISTINCT run FROM forms WHERE run IN ${LIST} ORDER BY run`, runs);
  for (const { run } of asked) dropForms(database, run);
  database.run(`UPDATE runs SET output = NULL WHERE event IN ${LIST} AND output <> 'null'`, all);
  const [unmatched, matched] = [true, false].map((is) =>
    keysOf(dropped.filter(({ delivery }) => (delivery === "unmatched") === is))
  );
  database.run(`DELETE FROM events WHERE key IN ${LIST}`, unmatched);
  database.run(`UPDATE events SET whole = 0 WHERE key IN ${LIST}`, matched);
}

/** Goes on where the last call stopped: rule by rule, and in each behind the events that it had to pass over. */
function dropVerdicts(context: Context, until: number): "dropped" | "nothing" | "more" {
  const { database, sweep } = context;
  while (sweep.rest <= 0) {
    const rule = database.value<string>("SELECT id FROM rules WHERE id >= @rule ORDER BY id LIMIT 1", sweep.rule);
    if (rule === undefined) break;
    const events = nextVerdicts(context, rule);
    const superfluous = events.filter(({ needed }) => needed === 0).slice(0, BATCH);
    if (superfluous.length > 0) {
      dropVerdictsOf(context, rule, superfluous.map(({ event }) => event));
      sweep.dropped = true;
      return "dropped";
    }
    sweep.needed += events.length;
    sweep.verdict = events.at(-1)?.event ?? 0;
    // The smallest text behind the rule's id.
    if (events.length < PASSED) [sweep.rule, sweep.verdict] = [`${rule}\u0001`, 0];
    if (performance.now() > until) return "more";
  }
  const { dropped, needed, rest } = sweep;
  context.sweep = { ...newSweep(), rest: rest > 0 || dropped ? rest : needed * WORTHWHILE };
  return dropped ? "more" : "nothing";
}

/** The next events of a rule behind its newest verdicts, oldest first, with whether anything needs them. */
function nextVerdicts({ database, retention, sweep }: Context, rule: string): { event: number; needed: number }[] {
  const boundary = database.value<number>(
    "SELECT event FROM verdicts WHERE rule = @rule ORDER BY event DESC LIMIT 1 OFFSET ?",
    rule,
    retention.verdicts,
  );
  if (boundary === undefined) return [];
  return database.all(
    "SELECT event, live > 0 OR whole = 1 AS needed FROM verdicts CROSS JOIN events ON key = event " +
      "WHERE rule = @rule AND event > ? AND event <= ? ORDER BY event LIMIT ?",
    rule,
    sweep.verdict,
    boundary,
    PASSED,
  );
}

function dropVerdictsOf({ database }: Context, rule: string, events: number[]): void {
  const keys = JSON.stringify(events);
  database.run(`DELETE FROM verdicts WHERE event IN ${LIST} AND rule = @rule`, keys, rule);
  database.run(`DELETE FROM runs WHERE event IN ${LIST} AND rule = @rule`, keys, rule);
  const isLeft = "EXISTS (SELECT 1 FROM verdicts WHERE event = key)";
  database.run(`DELETE FROM events WHERE key IN ${LIST} AND NOT ${isLeft}`, keys);
}
