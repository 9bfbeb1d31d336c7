import { Buffer } from "node:buffer";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { writeExactJson } from "../formats/exact_json.ts";
import { FolderLostError } from "../host/lock.ts";
import { toHeaders, type VerdictKind } from "../model/event.ts";
import type { Person } from "../model/form.ts";
import { asJson, type Json, type JsonObject } from "../model/json.ts";
import { isFinal } from "../model/run.ts";
import { type Receipt, type Reply, StoreFullError } from "../store/store.ts";
import type { WebContext } from "./context.ts";
import type { WaitOutcome } from "./reply_waiters.ts";

/** Answers with JSON that keeps all numbers exact. */
export function answerJson(c: Context, value: Json, status: ContentfulStatusCode = 200): Response {
  return c.body(writeExactJson(value), status, { "content-type": "application/json" });
}

/** Answers with JSON in which secrets are masked. */
export function answerMasked(
  c: Context,
  { maskJson }: Pick<WebContext, "maskJson">,
  value: object,
  status: ContentfulStatusCode = 200,
): Response {
  return answerJson(c, maskJson(asJson(value)), status);
}

/** The answer of the API to a request that it refuses. */
export function answerRefusal(
  c: Context,
  context: Pick<WebContext, "maskJson">,
  status: 403 | 404 | 409 | 422 | 500 | 503,
  error: string,
  more: JsonObject = {},
): Response {
  return answerMasked(c, context, { error, ...more }, status);
}

/** The answer to values that are not valid. @param problems by name */
export function answerInvalid(
  c: Context,
  context: Pick<WebContext, "maskJson">,
  what: string,
  problems: Record<string, string>,
): Response {
  const error = `${what} not valid: ${Object.values(problems).join("; ")}`;
  return answerRefusal(c, context, 422, error, { problems });
}

/** A request for something that does not exist, or that the person may not use. */
export interface Unusable {
  /** The error for an operator: 404. */
  absent: string;
  /** What a person wants to do, as in "start", and with what. */
  verb: string;
  what: string;
  /** The ids that would work. */
  known: string[];
}

/**
 * The refusal of an id. A person gets the same answer for what does not exist and for what they may not use, so that they do
 * not learn which ids exist.
 */
export function refuseUse(person: Person | undefined, { absent, verb, what, known }: Unusable) {
  const ids = known.toSorted().join(", ") || "none";
  if (person === undefined) return { status: 404, error: `${absent}; there are: ${ids}` } as const;
  const error = `${person.id} may not ${verb} ${what}; what ${person.id} may ${verb}: ${ids}`;
  return { status: 403, error } as const;
}

/** Seconds after which to try again while the program starts or stops. */
export const RETRY_AFTER = "5";

/** Seconds after which a request may be repeated that failed because nothing can be saved now; undefined if it failed otherwise. */
export function retryAfterOf(error: unknown): string | undefined {
  if (error instanceof StoreFullError) return String(error.retryAfter);
  // This replica was declared dead, for example, and begins anew.
  return error instanceof FolderLostError ? RETRY_AFTER : undefined;
}

/** The answer to the sender of an event. */
export interface EventAnswer {
  /** The event's id. */
  event: string;
  runs: string[];
  duplicate: boolean;
}

/** The outcome of an event, for its sender. */
export function eventAnswer(receipts: Receipt[]): EventAnswer {
  return {
    event: receipts[0].event.id,
    runs: receipts.flatMap(({ runs }) => runs),
    duplicate: receipts.every(({ delivery }) => delivery === "duplicate"),
  };
}

/** The answer of `POST /hooks` and `POST /events` after the receipts are on disk: 202, or 200 for a duplicate. */
export function answerReceipts(receipts: Receipt[]): Response {
  const answer = eventAnswer(receipts);
  return Response.json(answer, { status: answer.duplicate ? 200 : 202 });
}

/**
 * The answer to a batch of events: one for each, in order. 200 if all are duplicates, 422 if all are refused, else 202.
 * @param entries the receipts of each event
 */
export function answerBatch(entries: Receipt[][], context: Pick<WebContext, "mask">): Response {
  const events = entries.map((receipts) => isRefused(receipts) ? refusalOf(receipts, context) : eventAnswer(receipts));
  if (events.length > 0 && entries.every(isRefused)) return Response.json({ events }, { status: 422 });
  const isKnown = events.every((event) => "duplicate" in event && event.duplicate);
  return Response.json({ events }, { status: isKnown ? 200 : 202 });
}

/** Verdicts of a rule that accepted the event, even if it started nothing. */
const TAKEN: VerdictKind[] = ["started", "held", "batched", "busy"];

/** Whether nothing happened because a rule's inputs are invalid: the event stays unknown and may be sent again. */
export function isRefused(receipts: Receipt[]): boolean {
  const kinds = receipts.flatMap(({ verdicts }) => verdicts.map(({ verdict }) => verdict.kind));
  return kinds.includes("invalid") && !kinds.some((kind) => TAKEN.includes(kind)) &&
    receipts.every(({ runs, wakes }) => runs.length === 0 && wakes.length === 0);
}

/** 202, 200 for a duplicate, or 422 with all problems of the inputs. */
export function answerDelivered(receipts: Receipt[], context: Pick<WebContext, "mask">): Response {
  if (!isRefused(receipts)) return answerReceipts(receipts);
  return Response.json(refusalOf(receipts, context), { status: 422 });
}

function refusalOf(receipts: Receipt[], { mask }: Pick<WebContext, "mask">) {
  const found = receipts.flatMap(({ verdicts }) => verdicts).flatMap(({ verdict }) =>
    verdict.kind === "invalid" ? Object.entries(verdict.problems) : []
  );
  const problems = Object.fromEntries(found.map(([name, problem]) => [name, mask(problem)]));
  const error = `The inputs are not valid: ${Object.values(problems).join("; ")}`;
  return { error, problems, event: receipts[0].event.id };
}

/** The answer to a request that waited for a reply, if the run failed before the reply. */
export function answerFailure(receipts: Receipt[]): Response {
  return Response.json({ error: "The run failed before its reply", ...eventAnswer(receipts) }, { status: 500 });
}

/** Headers that belong to the connection, not to the rule. */
const NOT_OURS = ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"];

/** A recorded reply as a response. It is data to be sent, so nothing in it is masked. */
export function answerReply(reply: Reply): Response {
  const headers = toHeaders(reply.headers);
  for (const name of NOT_OURS) headers.delete(name);
  const body = reply.binary ? Buffer.from(reply.body, "base64") : reply.body;
  const bodiless = reply.status === 204 || reply.status === 205 || reply.status === 304;
  return new Response(bodiless ? null : body, { status: reply.status, headers });
}

type ReplyContext = Pick<WebContext, "clock" | "replies" | "store">;

/**
 * The reply recorded for one of the events, or the first that arrives within `ms`; otherwise the rules whose runs failed. The events must have
 * been delivered, and this called, within {@link ReplyWaiters.during}.
 */
export async function awaitReply(receipts: Receipt[], ms: number, context: ReplyContext): Promise<WaitOutcome> {
  const controller = new AbortController();
  // Without a reason, the host makes an error with its stack, which takes longer than all else here.
  const stop = () => controller.abort("over");
  const cancel = context.clock.after(ms, stop);
  try {
    const outcomes = await Promise.all(receipts.map(async (receipt): Promise<WaitOutcome> => {
      const outcome = receipt.reply ? { reply: receipt.reply } : await replyTo(receipt, controller.signal, context);
      if (outcome.reply !== undefined) stop();
      return outcome;
    }));
    const failed = outcomes.flatMap((outcome) => outcome.failed ?? []);
    return { reply: outcomes.find(({ reply }) => reply !== undefined)?.reply, failed };
  } finally {
    cancel();
    stop();
  }
}

async function replyTo(
  { event, runs, delivery }: Receipt,
  signal: AbortSignal,
  context: ReplyContext,
): Promise<WaitOutcome> {
  const { replies, store } = context;
  const outcome = replies.wait(event, runs, signal);
  // What the runs of a first delivery have done so far is known, unless another replica executes them.
  if (delivery !== "duplicate" && !replies.isShared) return await outcome;
  // The waiter gets no callback for a reply or an end from before the wait began, so read them.
  const recorded = await store.getReply(event);
  if (recorded !== undefined) return { reply: recorded };
  for (const run of runs) {
    const trace = await store.getRun(run);
    if (trace === undefined) replies.ended(event, { id: run, rule: "", state: "succeeded" });
    else if (isFinal(trace.run.state)) replies.ended(event, trace.run);
  }
  return await outcome;
}
