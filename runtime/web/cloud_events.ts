import type { Context } from "hono";
import { TextDecoder } from "node:util";
import { z } from "zod";
import { parseJson } from "../formats/exact_json.ts";
import { messageOf } from "../model/errors.ts";
import { CAUSE_HEADER, isOwnType } from "../model/event.ts";
import { newId } from "../model/id.ts";
import { isObject, type Json } from "../model/json.ts";
import { answerDelivered } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { readRequestBody } from "./request.ts";

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

/** An event from `POST /events`; the sender may omit some properties. */
type SentEvent = z.infer<typeof PLAIN>;

/** Sources of the program's own triggers and events: nobody else can use the identities of their events. */
const RESERVED = /^\/rules\/|^\/whenthen$/;

const text = z.string().min(1).max(1_000);
/** The type of an event that somebody else sends. */
export const sentType = text.refine(
  (type) => !isOwnType(type),
  "types that begin with whenthen. are the program's own",
);
const time = z.iso.datetime({ offset: true, local: false }).transform((given) => new Date(given).toISOString());
const PLAIN = z.object({
  type: sentType,
  data: z.custom<Json>().default(null),
  id: text.optional(),
  source: text.refine((source) => !RESERVED.test(source), "/whenthen and sources below /rules/ are reserved")
    .optional(),
  subject: text.optional(),
  time: time.optional(),
});
/** CloudEvents 1.0, JSON format 3.1: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md */
const STRUCTURED = PLAIN.required({ id: true, source: true }).extend({
  specversion: z.literal("1.0"),
  data_base64: z.base64().optional(),
});

/**
 * Reads a CloudEvent in structured mode (`application/cloudevents+json`) or binary mode (`ce-` headers), or a plain
 * `{ type, data }`.
 * @returns the event, or its problem
 */
export function parseCloudEvent(headers: Headers, body: Uint8Array): { event: SentEvent } | { problem: string } {
  const type = (headers.get("content-type") ?? "application/json").split(";")[0].trim().toLowerCase();
  let content: string;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return { problem: "the body is not UTF-8" };
  }
  if (headers.has("ce-specversion")) return check(STRUCTURED, fromHeaders(headers, type, content));
  if (type === "application/cloudevents+json") return check(STRUCTURED, fromStructured(content));
  if (isJson(type)) {
    const given = parseContent(content);
    // Many senders label a structured CloudEvent as plain JSON; only a CloudEvent has a specversion.
    const whole = "value" in given && isCloudEvent(given.value);
    return whole ? check(STRUCTURED, fromStructured(content)) : check(PLAIN.strict(), given);
  }
  return {
    problem:
      `expected content-type "application/cloudevents+json" or "application/json", or ce- headers, got "${type}"`,
  };
}

function fromHeaders(headers: Headers, type: string, content: string): Given {
  const attributes: Record<string, Json> = {};
  for (const [name, value] of headers) {
    if (name.startsWith("ce-")) attributes[name.slice(3)] = decode(value);
  }
  if (content === "") return { value: attributes };
  if (!isJson(type)) return { value: { ...attributes, data: content } };
  const data = parseContent(content, "data");
  return "problem" in data ? data : { value: { ...attributes, data: data.value } };
}

function fromStructured(content: string): Given {
  const given = parseContent(content);
  if ("problem" in given || !isObject(given.value)) return given;
  const { data, data_base64: binary } = given.value;
  return { value: { ...given.value, data: data ?? binary ?? null } };
}

type Given = { value: Json } | { problem: string };

function parseContent(content: string, name?: string): Given {
  try {
    return { value: parseJson(content, name) };
  } catch (error) {
    return { problem: `the body is not JSON: ${messageOf(error)}` };
  }
}

function check(schema: typeof PLAIN | typeof STRUCTURED, given: Given): { event: SentEvent } | { problem: string } {
  if ("problem" in given) return given;
  const checked = schema.safeParse(given.value);
  if (checked.success) {
    const { type, data, id, source, subject, time } = checked.data;
    return { event: { type, data, id, source, subject, time } };
  }
  const issues = checked.error.issues.map(({ path, message }) => `${path.join(".") || "the event"}: ${message}`);
  return { problem: issues.join("; ") };
}

function isCloudEvent(value: Json): boolean {
  return isObject(value) && Object.hasOwn(value, "specversion");
}

function isJson(type: string): boolean {
  return type === "application/json" || type.endsWith("+json");
}

/** Header values are percent-encoded in binary mode (HTTP binding 3.1.3.2). */
function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
