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
  const events = read.events.map((event) => ({ ...complete(event, context), ...cause && { cause } }));
  const receipts = await context.ingest.publishAll(events);
  return read.isBatch ? answerBatch(receipts.map((receipt) => [receipt]), context) : answerDelivered(receipts, context);
}

/** Adds generated values for attributes that the sender omitted. */
export function complete(
  event: SentEvent,
  { clock }: Pick<WebContext, "clock">,
): SentEvent & { id: string; source: string } {
  return { ...event, id: event.id ?? newId(clock.now()), source: event.source ?? "/events" };
}
