import { Buffer } from "node:buffer";
import { z } from "zod";
import { parseJson } from "../formats/exact_json.ts";
import { messageOf } from "../model/errors.ts";
import { type Event, isOwnType } from "../model/event.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { parseBody } from "./webhook_request.ts";

/** A CloudEvent, however it was sent. */
export type CloudEvent = Pick<Event, "id" | "source" | "type" | "subject" | "data"> & {
  time?: string;
  /** All its attributes as text, as they were sent: also those that are not CloudEvents' own (extensions). */
  ce: Record<string, string>;
};

/** An event from `POST /events`; the sender of a plain one may omit some properties. */
export type SentEvent = z.infer<typeof PLAIN> & Partial<Pick<CloudEvent, "ce">>;

type Read<T> = { events: T[]; isBatch: boolean } | { problem: string };

export const STRUCTURED_TYPE = "application/cloudevents+json";
export const BATCH_TYPE = "application/cloudevents-batch+json";
/** The most events of a batch: they are accepted together, in one transition. */
const MOST_EVENTS = 1_000;

/** Sources of the program's own triggers and events: nobody else can use the identities of their events. */
const RESERVED = /^\/rules\/|^\/whenthen$/;

const text = z.string().min(1).max(1_000);
/** The type of an event that somebody else sends. */
export const sentType = text.refine(
  (type) => !isOwnType(type),
  "types that begin with whenthen. are the program's own",
);
const time = z.string().toUpperCase().pipe(
  z.iso.datetime({ offset: true, local: false }).transform((given) => new Date(given).toISOString()),
);
const PLAIN = z.object({
  type: sentType,
  data: z.custom<Json>().default(null),
  id: text.optional(),
  source: text.refine((source) => !RESERVED.test(source), "/whenthen and sources below /rules/ are reserved")
    .optional(),
  subject: text.optional(),
  time: time.optional(),
});
/** What `POST /events` takes besides CloudEvents. */
export const plainEvent = PLAIN.strict();
/** CloudEvents 1.0.2, section 3.1. A name of an extension has lower-case letters and digits; in the wild, there are dashes, too. */
const ATTRIBUTES = PLAIN.omit({ data: true }).required({ id: true, source: true }).extend({
  specversion: z.literal("1.0"),
  datacontenttype: text.optional(),
}).catchall(z.union([z.string().max(10_000), z.number(), z.bigint(), z.boolean()], {
  error: "expected text, a number or true or false, as every attribute of a CloudEvent",
}));

/** A CloudEvent in structured mode, for descriptions: its data is read by its `datacontenttype`. */
export const structuredEvent = ATTRIBUTES.extend({
  data: z.custom<Json>().optional(),
  data_base64: z.base64().optional(),
});

/** Whether a request carries CloudEvents, by its headers: in binary mode, in structured mode, or as a batch. */
export function isCloudEvent(headers: Record<string, string>): boolean {
  return headers["ce-specversion"] !== undefined || [STRUCTURED_TYPE, BATCH_TYPE].includes(mediaType(headers));
}

/**
 * Reads CloudEvents 1.0 over HTTP in binary mode (`ce-` headers), in structured mode, or as a batch, in JSON. An event is the same in
 * all of them: its data is read by its `datacontenttype`, as the body of a webhook is.
 *
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
 */
export function readCloudEvents(headers: Record<string, string>, body: Uint8Array): Read<CloudEvent> {
  try {
    if (headers["ce-specversion"] !== undefined) return { events: [fromHeaders(headers, body)], isBatch: false };
    const given = parseContent(body);
    if (mediaType(headers) !== BATCH_TYPE) return { events: [fromStructured(given)], isBatch: false };
    if (!Array.isArray(given)) return { problem: "a batch is a list of events" };
    if (given.length > MOST_EVENTS) return { problem: `a batch may have ${MOST_EVENTS} events, not ${given.length}` };
    return { events: given.map(ofBatch), isBatch: true };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/** Reads the body of `POST /events`: CloudEvents, or a plain `{ type, data }`. */
export function readEvents(headers: Record<string, string>, body: Uint8Array): Read<SentEvent> {
  if (isCloudEvent(headers)) return readCloudEvents(headers, body);
  const type = mediaType(headers) || "application/json";
  if (!isJson(type)) {
    const expected = `"${STRUCTURED_TYPE}", "${BATCH_TYPE}" or "application/json", or ce- headers`;
    return { problem: `expected content-type ${expected}, got "${type}"` };
  }
  try {
    const given = parseContent(body);
    // Many senders label a structured CloudEvent as plain JSON; only a CloudEvent has a specversion.
    const isWhole = isObject(given) && Object.hasOwn(given, "specversion");
    return { events: [isWhole ? fromStructured(given) : check(plainEvent, given)], isBatch: false };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function fromHeaders(headers: Record<string, string>, body: Uint8Array): CloudEvent {
  const given: JsonObject = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith("ce-")) given[name.slice(3)] = decode(value);
  }
  if (headers["content-type"] !== undefined) given.datacontenttype = headers["content-type"];
  return complete(given, () => parseBody(body, headers["content-type"]));
}

function fromStructured(given: Json): CloudEvent {
  if (!isObject(given)) throw new Error("a CloudEvent is an object");
  const { data, data_base64: encoded = null, ...attributes } = given as JsonObject;
  if (encoded !== null && (data ?? null) !== null) throw new Error("data and data_base64: only one of them may be set");
  if (encoded !== null) return complete(attributes, (type) => bytesOf(encoded, type));
  if (data === undefined) return complete(attributes, () => null);
  // Data without a type is JSON (JSON format, section 3.1).
  return complete({ ...attributes, datacontenttype: attributes.datacontenttype ?? "application/json" }, (type) => {
    // Text of another type stands for its bytes, as in binary mode.
    return typeof data === "string" && !isJson(type!) ? parseBody(Buffer.from(data), type) : data;
  });
}

function ofBatch(given: Json, index: number): CloudEvent {
  try {
    return fromStructured(given);
  } catch (error) {
    throw new Error(`event ${index + 1} of the batch: ${messageOf(error)}`, { cause: error });
  }
}

function bytesOf(encoded: Json, type: string | undefined): Json {
  const checked = z.base64().safeParse(encoded);
  if (!checked.success) throw new Error("data_base64: expected base64");
  return parseBody(Buffer.from(checked.data, "base64"), type);
}

function complete(given: JsonObject, readData: (type: string | undefined) => Json): CloudEvent {
  // An attribute that is null is not set.
  const attributes = Object.entries(given).filter(([, value]) => value !== null);
  const { id, source, type, subject, time, datacontenttype } = check(ATTRIBUTES, Object.fromEntries(attributes));
  return {
    id,
    source,
    type,
    ...subject !== undefined && { subject },
    ...time !== undefined && { time },
    data: readData(datacontenttype),
    ce: Object.fromEntries(attributes.map(([name, value]) => [name, String(value)])),
  };
}

function check<T>(schema: z.ZodType<T>, given: Json): T {
  const checked = schema.safeParse(given);
  if (checked.success) return checked.data;
  const issues = checked.error.issues.map(({ path, message }) => `${path.join(".") || "the event"}: ${message}`);
  throw new Error(issues.join("; "));
}

function parseContent(body: Uint8Array): Json {
  let content: string;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new Error("the body is not UTF-8");
  }
  try {
    return parseJson(content);
  } catch (error) {
    throw new Error(`the body is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

function mediaType(headers: Record<string, string>): string {
  return (headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
}

function isJson(type: string): boolean {
  return /^[^;]*[/+]json\s*(;|$)/i.test(type);
}

/** Header values are percent-encoded in binary mode (HTTP binding 3.1.3.2). */
function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
