import type { Event } from "../../model/event.ts";
import type { Identity } from "../ledger/identities.ts";
import { ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import {
  type Arrival,
  type Candidate,
  type ClaimedRun,
  type Lease,
  type Progress,
  type Receipt,
  type Retention,
  StoreFullError,
} from "../store.ts";
import { admit, type Admitted } from "./admission.ts";
import { collectEvent } from "./batch_rows.ts";
import { countVerdict } from "./rule_rows.ts";
import { addToEvent, findIdentity, putEvent } from "./event_rows.ts";
import { dropNotice } from "./notices.ts";
import { writeProgress } from "./progress.ts";
import { newlyClaimed, NO_LEASE, putRun } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";
import { endEventWaits } from "./waits.ts";

/** The input of one call. */
export interface Accepting {
  arrivals: Arrival[];
  progress: Progress[];
  lease?: Lease;
}

/**
 * Identity, events, verdicts, runs and the trigger's progress, in one transition.
 * @returns a receipt for each arrival, in order
 * @throws StoreFullError if there was no room for all of them
 */
export function accept(
  rows: Rows,
  { arrivals, progress, lease = NO_LEASE }: Accepting,
  context: TransitionContext,
): Receipt[] {
  // A copy, as claiming runs decrements it.
  const left = { ...lease };
  const receipts = arrivals.map((arrival) => acceptOne(rows, arrival, context, left));
  for (const each of progress) writeProgress(rows, each);
  return receipts;
}

function acceptOne(rows: Rows, arrival: Arrival, context: TransitionContext, lease: Lease): Receipt {
  const { source, id } = arrival.event;
  if (arrival.isOwn) dropNotice(rows, id);
  const known = findIdentity(rows, { source, id });
  if (known && isKnown(rows, known, context)) return duplicateOf(rows, arrival.event, known, context);
  const { bytesOfRuns: bytes } = rows;
  // Own events are durable already, as notices. One of them reports that the store is full.
  if (bytes > context.retention.live && !arrival.isOwn) throw full(bytes, context.retention);
  return acceptNew(rows, arrival, context, lease);
}

/** Whether an identity is within its retention. */
export function isKnown(
  rows: Rows,
  { key, at: received, within }: Identity,
  { now, retention }: Pick<TransitionContext, "now" | "retention">,
): boolean {
  return now < receivedAt(rows, key, received) + (within ?? retention.identities);
}

/**
 * Removes identities that are no longer known from memory, if they are more than a tenth of all.
 * @returns whether any were removed
 */
export function expireIdentities(rows: Rows, at: Pick<TransitionContext, "now" | "retention">): boolean {
  const before = rows.identities.size;
  rows.identities.expire((key, received, within) =>
    isKnown(rows, { key, at: received, ...(!Number.isNaN(within) && { within }), runs: 0, replied: false }, at)
  );
  return rows.identities.size < before;
}

/** Records that identities were expired, so that followers expire the same ones. */
export function noteExpired(rows: Rows, _input: undefined, { now, retention }: TransitionContext): void {
  rows.putFact("expired", { at: now, after: retention.identities });
}

/** When an event was received, corrected for a clock rollback. */
function receivedAt(rows: Rows, key: number, received: number): number {
  const rollback = rows.fact("rollback");
  return rollback && key <= rollback.key ? Math.min(received, rollback.at) : received;
}

function duplicateOf(rows: Rows, { source, id }: Event, { key, runs }: Identity, { ids }: TransitionContext): Receipt {
  addToEvent(rows, key, { deliveries: 1 });
  const reply = rows.get("reply", ordered(key));
  return {
    event: { source, id },
    delivery: "duplicate",
    // Read from history.
    verdicts: [],
    runs: ids.runs(key, runs),
    replaces: [],
    wakes: [],
    ...(reply && { reply }),
  };
}

function full(bytes: number, { live }: Retention): StoreFullError {
  const megabytes = (count: number) => `${Math.ceil(count / 1024 / 1024)} MB`;
  return new StoreFullError(
    `The store is full: ${megabytes(bytes)} of ${megabytes(live)} are live runs, their events and the memory of ` +
      "rules; end runs to make room",
    60,
  );
}

/** Stores an event with a new identity, with the verdict of each rule. */
export function acceptNew(
  rows: Rows,
  { event, candidates, within }: Arrival,
  context: TransitionContext,
  lease: Lease = NO_LEASE,
): Receipt {
  const key = context.ids.key(context.now);
  const delivery = candidates.length > 0 ? "accepted" : "unmatched";
  const receipt: Receipt = {
    event: { source: event.source, id: event.id },
    delivery,
    verdicts: [],
    runs: [],
    replaces: [],
    wakes: [],
  };
  const acceptance: Acceptance = { event, key, context, lease, claimed: [], runs: 0, answered: new Map() };
  for (const candidate of candidates) {
    const { verdict, replaces, replaced } = decide(rows, acceptance, candidate);
    receipt.verdicts.push({ rule: candidate.rule, trigger: candidate.trigger, verdict });
    if (verdict.kind === "started" || verdict.kind === "held") receipt.runs.push(verdict.run);
    receipt.replaces.push(...replaces);
    if (replaced !== undefined) (receipt.replaced ??= []).push(...replaced);
  }
  if (acceptance.claimed.length > 0) receipt.claimed = acceptance.claimed;
  rows.putIdentity(event.source, event.id, {
    key,
    at: context.now,
    ...(within !== undefined && { within }),
    runs: receipt.runs.length,
    replied: false,
  });
  rows.putFact("last", { key, receivedAt: context.now });
  putEvent(rows, { key, receivedAt: context.now, delivery, verdicts: receipt.verdicts, event });
  receipt.wakes = endEventWaits(rows, key, event, context.now);
  if (receipt.wakes.length > 0) receipt.delivery = "accepted";
  return receipt;
}

/** An event that is being accepted. */
interface Acceptance {
  event: Event;
  key: number;
  context: TransitionContext;
  lease: Lease;
  /** The runs claimed with the lease. */
  claimed: ClaimedRun[];
  /** How many runs it has started so far. */
  runs: number;
  /** By rule: the reason to do nothing more, as another trigger of the rule has taken the event. One event, one run per rule. */
  answered: Map<string, string>;
}

type Decided = Pick<Admitted, "verdict" | "replaces" | "replaced">;

/** The verdict on a candidate; makes its run if it starts one. */
function decide(rows: Rows, acceptance: Acceptance, candidate: Candidate): Decided {
  const { rule, outcome } = candidate;
  const { event, key, context, answered } = acceptance;
  if (outcome.kind !== "admit" && outcome.kind !== "collect") {
    countVerdict(rows, rule, outcome.kind, key);
    return { verdict: outcome, replaces: [] };
  }
  const reason = answered.get(rule);
  if (reason !== undefined) {
    countVerdict(rows, rule, "busy", key);
    return { verdict: { kind: "busy", reason }, replaces: [] };
  }
  if (outcome.kind === "collect") {
    countVerdict(rows, rule, "batched", key);
    answered.set(rule, "A batch of this rule already has the event");
    return { verdict: collectEvent(rows, event, key, candidate, outcome, context), replaces: [] };
  }
  const run = context.ids.run(key, acceptance.runs);
  // The verdict is counted when its condition is answered.
  if (outcome.asksFirst) {
    start(rows, acceptance, candidate, run, context.now);
    return { verdict: { kind: "started", run }, replaces: [] };
  }
  const { readyAt, arrival, ...decided } = admit(rows, run, rule, outcome, context);
  countVerdict(rows, rule, decided.verdict.kind, key, arrival);
  if (readyAt !== undefined) start(rows, acceptance, candidate, run, readyAt);
  return decided;
}

function start(rows: Rows, acceptance: Acceptance, candidate: Candidate, run: string, readyAt: number): void {
  const { event, key, context: { now }, lease } = acceptance;
  if (candidate.outcome.kind !== "admit") return;
  const row = putRun(rows, { id: run, event: key, candidate, admission: candidate.outcome, readyAt, now, lease });
  if (row.state === "running") acceptance.claimed.push(newlyClaimed(row, event));
  acceptance.runs++;
  acceptance.answered.set(candidate.rule, `Run ${run} of this rule already handles the event`);
}
