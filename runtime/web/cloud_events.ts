import type { Context } from "hono";
import { CAUSE_HEADER } from "../model/event.ts";
import { newId } from "../model/id.ts";
import { readEvents, type SentEvent } from "../triggers/cloud_event.ts";
import { answerBatch, answerDelivered } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { readRequestBody } from "./request.ts";

const MAX_BODY = 1024 * 1024;

/** `POST /events`: an event, or a batch of CloudEvents, for all rules that subscribe to its type. */
export async function receiveEvent(c: Context, context: WebContext): Promise<Response> {
  const body = await readRequestBody(c.req.raw, MAX_BODY);
  if ("refused" in body) return body.refused;
  const read = readEvents(Object.fromEntries(c.req.raw.headers), body.bytes);
  if ("problem" in read) return c.json({ error: context.mask(`Cannot take the event: ${read.problem}`) }, 400);
  const cause = context.verifyCause(c.req.header(CAUSE_HEADER));
  const trace = readTraceparent(c.req.header("traceparent"));
  const more = { ...cause && { cause }, ...trace !== undefined && { trace } };
  const events = read.events.map((event) => ({ ...complete(event, context), ...more }));
  const receipts = await context.ingest.publishAll(events);
  return read.isBatch ? answerBatch(receipts.map((receipt) => [receipt]), context) : answerDelivered(receipts, context);
}

/** A `traceparent` header (W3C Trace Context, section 3.2), kept with the events; undefined if it is absent or is none. */
function readTraceparent(header: string | undefined): string | undefined {
  return /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(header ?? "") ? header : undefined;
}

/** Adds generated values for attributes that the sender omitted. */
export function complete(
  event: SentEvent,
  { clock }: Pick<WebContext, "clock">,
): SentEvent & { id: string; source: string } {
  return { ...event, id: event.id ?? newId(clock.now()), source: event.source ?? "/events" };
}
