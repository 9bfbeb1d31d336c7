import type { Event } from "../../model/event.ts";
import type { Verdict } from "../../model/verdict.ts";
import type { Admission, Arrival, Candidate, Progress, Receipt, Reply } from "../store.ts";
import { admit } from "./admit.ts";
import { collectEvent } from "./collect_event.ts";
import type { Context } from "./context.ts";
import { count } from "./counters.ts";
import { ASKING, ASKING_LANE, enterLane, laneFor, laneOf } from "./lanes.ts";
import { makeRoom } from "./make_room.ts";
import { writeProgress } from "./progress.ts";
import { readReply } from "./replies.ts";
import { readVerdicts } from "./rows.ts";
import { endAwaiting } from "./waits.ts";

/** Identity, events, verdicts, runs and the trigger's progress, in one transition. */
export function accept(context: Context, arrivals: Arrival[], progress: Progress[], now: number): Receipt[] {
  const receipts = arrivals.map((arrival) => acceptOne(context, arrival, now));
  for (const each of progress) writeProgress(context.database, each);
  return receipts;
}

function acceptOne(context: Context, arrival: Arrival, now: number): Receipt {
  const duplicate = findDuplicate(context, arrival.event, now);
  if (duplicate) return duplicate;
  makeRoom(context);
  return takeIn(context, arrival, now);
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
export function takeIn(context: Context, { event, candidates, within }: Arrival, now: number): Receipt {
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
  for (const candidate of candidates) {
    const { verdict, replaces } = decide(context, event, key, candidate, answered.get(candidate.rule), now);
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
  receipt.wakes = endAwaiting(context, key, event, now);
  if (receipt.wakes.length > 0) receipt.delivery = "accepted";
  return receipt;
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
  event: Event,
  eventKey: number,
  candidate: Candidate,
  answered: string | undefined,
  now: number,
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
  // What becomes of it is counted once its condition is answered.
  if (outcome.asksFirst) {
    putRun(context, { id: run, event: eventKey, candidate, admission: outcome, readyAt: now, now });
    return { verdict: { kind: "started", run }, replaces: [] };
  }
  const { verdict, readyAt, arrival, replaces } = admit(context, run, rule, outcome, now);
  count(context.database, rule, verdict.kind, arrival);
  if (readyAt !== undefined) putRun(context, { id: run, event: eventKey, candidate, admission: outcome, readyAt, now });
  return { verdict, replaces };
}

interface NewRun {
  id: string;
  event: number;
  /** The newest event, where that is not its own. */
  began?: number;
  candidate: Pick<Candidate, "rule" | "version" | "trigger">;
  admission: Admission;
  readyAt: number;
  now: number;
  replayOf?: string;
}

/** Stores a new run as `queued`, in the lane of its key or of those whose condition is to be asked. */
export function putRun({ database }: Context, run: NewRun): void {
  const { rule, version, trigger } = run.candidate;
  const { asksFirst, key } = run.admission;
  const lane = asksFirst ? ASKING : laneOf(key);
  const held = run.readyAt > run.now;
  database.run(
    "INSERT INTO runs (id, rule, version, trigger_id, event, began, state, waiting_for, due, key, lane, ready_at, " +
      "admission, created_at, replay_of) " +
      "VALUES (@run, @rule, @version, ?, ?, ?, 'queued', ?, ?, $key, ?, ?, $admission, ?, @replayOf)",
    run.id,
    rule,
    version,
    trigger,
    run.event,
    run.began ?? run.event,
    asksFirst ? "its condition" : held ? "the rule's limit" : undefined,
    held ? run.readyAt : undefined,
    key,
    lane,
    run.readyAt,
    asksFirst ? run.admission : undefined,
    run.now,
    run.replayOf,
  );
  enterLane(database, rule, lane, asksFirst ? ASKING_LANE : laneFor(run.admission), run.readyAt);
}
