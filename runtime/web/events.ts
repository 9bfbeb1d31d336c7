import type { Context } from "hono";

import { CAUSE_HEADER } from "../model/event.ts";
import { newId } from "../model/id.ts";
import { answerDelivered } from "./answer.ts";
import { readRequestBody } from "./request_body.ts";
import { parseCloudEvent, type SentEvent } from "./cloud_event.ts";
import type { WebContext } from "./context.ts";

const MAX_BODY = 1024 * 1024;

/** `POST /events`: an event for all rules that subscribe to its type. */
export async function receiveEvent(c: Context, context: WebContext): Promise<Response> {
  const body = await readRequestBody(c.req.raw, MAX_BODY);
  if ("refused" in body) return body.refused;
  const parsed = parseCloudEvent(c.req.raw.headers, body.bytes);
  if ("problem" in parsed) return c.json({ error: context.mask(`Cannot take the event: ${parsed.problem}`) }, 400);
  const cause = context.verifyCause(c.req.header(CAUSE_HEADER));
  const receipt = await context.ingest.publish({ ...complete(parsed.event, context), ...cause && { cause } });
  return answerDelivered([receipt], context);
}

/** Completes an event with generated values for what its sender omitted. */
export function complete(
  event: SentEvent,
  { clock }: Pick<WebContext, "clock">,
): SentEvent & { id: string; source: string } {
  return { ...event, id: event.id ?? newId(clock.now()), source: event.source ?? "/events" };
}
