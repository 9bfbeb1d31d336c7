import type { Event } from "../../model/event.ts";
import type { Verdict } from "../../model/verdict.ts";
import {
  type Arrival,
  type Candidate,
  type ClaimedRun,
  type Lease,
  type Progress,
  type Receipt,
  type Reply,
  StoreFullError,
} from "../store.ts";
import { admit } from "./admit.ts";
import { collectEvent } from "./collect_event.ts";
import type { Context } from "./context.ts";
import { count } from "./counters.ts";
import { makeRoom } from "./make_room.ts";
import { writeProgress } from "./progress.ts";
import { newlyClaimed, NO_LEASE, putRun } from "./put_run.ts";
import { readReply } from "./replies.ts";
import { readVerdicts } from "./rows.ts";
import { endAwaiting } from "./waits.ts";

/**
 * Identity, events, verdicts, runs and the trigger's progress, in one transition.
 * @returns why it takes nothing in, where nothing was written: a store at its cap refuses thousands a second, and to undo a
 * transition takes all with it that came beside it
 * @throws StoreFullError where there was room for some of them
 */
export function accept(
  context: Context,
  arrivals: Arrival[],
  progress: Progress[],
  now: number,
  lease: Lease = NO_LEASE,
): Receipt[] | StoreFullError {
  // Counted down while runs are claimed; the group may have to be done once more.
  const left = { ...lease };
  const receipts: Receipt[] = [];
  for (const arrival of arrivals) {
    try {
      receipts.push(acceptOne(context, arrival, now, left));
    } catch (error) {
      if (error instanceof StoreFullError && receipts.length === 0) return error;
      throw error;
    }
  }
  for (const each of progress) writeProgress(context.database, each);
  return receipts;
}

function acceptOne(context: Context, arrival: Arrival, now: number, lease: Lease): Receipt {
  const duplicate = findDuplicate(context, arrival.event, now);
  if (duplicate) return duplicate;
  makeRoom(context);
  return takeIn(context, arrival, now, lease);
}

/** The receipt of a delivery whose identity is known. */
function findDuplicate({ database, retention }: Context, { source, id }: Event, now: number): Receipt | undefined {
  const known = database.one<{ event: number; received_at: number; within: number | null; runs: string }>(
    "SELECT event, received_at, within, runs FROM identities WHERE source = ? AND id = ?",
    source,
    id,
  );
  if (!known || now >= known.received_at + (known.within ?? retention.identities)) return undefined;
  database.run("UPDATE events SET deliveries = deliveries + 1 WHERE key = ?", known.event);
  const receipt: Receipt = {
    event: { source, id },
    delivery: "duplicate",
    verdicts: readVerdicts(database, known.event),
    runs: JSON.parse(known.runs),
    replaces: [],
    wakes: [],
  };
  const reply: Reply | undefined = readReply(database, known.event);
  if (reply) receipt.reply = reply;
  return receipt;
}

/** Stores an event whose identity is new, with what becomes of it at each rule. */
export function takeIn(
  context: Context,
  { event, candidates, within }: Arrival,
  now: number,
  lease: Lease = NO_LEASE,
): Receipt {
  const { database } = context;
  const key = context.ids.event(now);
  const receipt: Receipt = {
    event: { source: event.source, id: event.id },
    delivery: candidates.length > 0 ? "accepted" : "unmatched",
    verdicts: [],
    runs: [],
    replaces: [],
    wakes: [],
  };
  const answered = new Map<string, string>();
  const claimed: ClaimedRun[] = [];
  const taking: Taking = { event, key, now, lease, claimed };
  for (const candidate of candidates) {
    const { verdict, replaces } = decide(context, taking, candidate, answered.get(candidate.rule));
    receipt.verdicts.push({ rule: candidate.rule, trigger: candidate.trigger, verdict });
    if (verdict.kind === "started" || verdict.kind === "held") {
      receipt.runs.push(verdict.run);
      answered.set(candidate.rule, `Run ${verdict.run} of this rule answers the event already`);
    } else if (verdict.kind === "batched") {
      answered.set(candidate.rule, "A batch of this rule has the event already");
    }
    receipt.replaces.push(...replaces);
  }
  database.run(
    "INSERT OR REPLACE INTO identities (source, id, event, received_at, within, runs) VALUES (?, ?, ?, ?, ?, @runs)",
    event.source,
    event.id,
    key,
    now,
    within,
    JSON.stringify(receipt.runs),
  );
  putEvent(context, key, event, receipt, now);
  if (claimed.length > 0) receipt.claimed = claimed;
  receipt.wakes = endAwaiting(context, key, event, now);
  if (receipt.wakes.length > 0) receipt.delivery = "accepted";
  return receipt;
}

/** An event on its way in. */
interface Taking {
  event: Event;
  key: number;
  now: number;
  lease: Lease;
  /** The runs that were claimed on the lease. */
  claimed: ClaimedRun[];
}

function putEvent({ database }: Context, key: number, event: Event, receipt: Receipt, now: number): void {
  const { data, http, ...head } = event;
  database.run(
    "INSERT INTO events (key, type, head, delivery, received_at, deliveries, live, whole) " +
      "VALUES (?, ?, $head, @delivery, ?, 1, ?, 1)",
    key,
    event.type,
    head,
    receipt.delivery,
    now,
    receipt.runs.length + receipt.verdicts.filter(({ verdict }) => verdict.kind === "batched").length,
  );
  database.run("INSERT INTO bodies (event, body) VALUES (?, $body)", key, http ? { data, http } : { data });
  for (const [position, { rule, trigger, verdict }] of receipt.verdicts.entries()) {
    database.run(
      "INSERT INTO verdicts (event, position, rule, trigger_id, verdict) VALUES (?, ?, @rule, ?, $verdict)",
      key,
      position,
      rule,
      trigger,
      verdict,
    );
  }
}

/**
 * The verdict on a candidate; makes its run where there is to be one.
 * @param answered why nothing is to be done: another trigger of the rule has taken it. One event, one run per rule
 */
function decide(
  context: Context,
  { event, key: eventKey, now, lease, claimed }: Taking,
  candidate: Candidate,
  answered: string | undefined,
): { verdict: Verdict; replaces: string[] } {
  const { rule, outcome } = candidate;
  if (outcome.kind !== "admit" && outcome.kind !== "collect") {
    count(context.database, rule, outcome.kind);
    return { verdict: outcome, replaces: [] };
  }
  if (answered !== undefined) {
    count(context.database, rule, "busy");
    return { verdict: { kind: "busy", reason: answered }, replaces: [] };
  }
  if (outcome.kind === "collect") {
    count(context.database, rule, "batched");
    return { verdict: collectEvent(context, event, eventKey, candidate, outcome, now), replaces: [] };
  }
  const run = context.ids.run(now);
  const put = (readyAt: number) => {
    const made = { id: run, event: eventKey, candidate, admission: outcome, readyAt, now, lease };
    if (putRun(context, made)) claimed.push(newlyClaimed(context, made, event));
  };
  // What becomes of it is counted once its condition is answered.
  if (outcome.asksFirst) {
    put(now);
    return { verdict: { kind: "started", run }, replaces: [] };
  }
  const { verdict, readyAt, arrival, replaces } = admit(context, run, rule, outcome, now);
  count(context.database, rule, verdict.kind, arrival);
  if (readyAt !== undefined) put(readyAt);
  return { verdict, replaces };
}
