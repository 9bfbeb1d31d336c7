import { isByHand } from "../ingest/rule_inputs.ts";
import type { Event } from "../model/event.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Trigger } from "../model/rule.ts";
import type { Run } from "../model/run.ts";

/** The entries that bring about a recorded event in a test. */
export interface Beginning {
  /** When the test begins; milliseconds since the epoch. */
  now: number;
  entries: JsonObject[];
  /** What of the event a test cannot have. */
  left: string[];
}

/** Headers of the transport and of proxies, which a test does not need. */
const TRANSPORT =
  /^(host|content-type|content-length|transfer-encoding|content-encoding|connection|accept.*|x-forwarded-.*|x-real-ip|forwarded|via|expect|user-agent|whenthen-cause|traceparent|tracestate)$/;

/**
 * The event of a run as entries of a test.
 * @param text the texts of the rule
 */
export function beginningOf(run: Run, trigger: Trigger, text: string): Beginning {
  const { event, createdAt } = run;
  const at = { now: createdAt, left: [] as string[] };
  if (trigger.batch !== undefined && event.type === "batch") return batchOf(event, trigger, at);
  if (isByHand(event)) return { ...at, entries: [startOf(run, text, at.left)] };
  if (event.files !== undefined) at.left.push("the contents of uploaded files, which are not recorded in the event");
  if (event.http !== undefined && trigger.kind === "webhook") return { ...at, entries: [requestOf(event, at.left)] };
  if (event.http !== undefined) at.left.push("event.http: only a request to the rule's own webhook has it");
  return { ...at, entries: [{ send: sentEvent(asJson(event), trigger) }] };
}

/** An event as it is sent in a test. */
export function sentEvent({ id, source, type, subject, time, data = null }: JsonObject, trigger?: Trigger): JsonObject {
  const own = trigger !== undefined && trigger.kind !== "event";
  return {
    ...own && { trigger: trigger.id },
    type,
    ...data !== null && { data },
    ...typeof subject === "string" && { subject },
    id,
    // A trigger gives its events its own source.
    ...!own && { source },
    time,
  };
}

function startOf({ event, inputs }: Run, text: string, left: string[]): JsonObject {
  const { id, data, by } = event;
  if (inputs === undefined && data !== null) {
    left.push(`who started it (${by}): the event's data can only be sent, and then nobody has`);
    return { send: { data, id } };
  }
  const start: JsonObject = { id };
  if (isObject(data)) start.inputs = data;
  if (text.includes("event.by")) start.as = by!;
  return { start };
}

function requestOf({ http, data, ce, files }: Event, left: string[]): JsonObject {
  const { method, path, query, headers } = http!;
  const type = headers["content-type"] ?? "";
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !TRANSPORT.test(name)));
  const sent: JsonObject = {
    webhook: path,
    ...method !== "POST" && { method },
    ...Object.keys(query).length > 0 && { query },
  };
  const [content, own] = contentOf(type, data, ce, left);
  if (files !== undefined) {
    const named = Object.entries(files).map(([field, file]) =>
      [field, [file].flat().map(({ name, type }) => ({ name, type, text: "" }))] as const
    );
    Object.assign(content, { form: isObject(data) ? data : {}, files: Object.fromEntries(named) });
  }
  const all = { ...kept, ...own !== undefined && { "content-type": own } };
  return { send: { ...sent, ...content, ...Object.keys(all).length > 0 && { headers: all } } };
}

/** The body of a request, and its media type if the body does not imply it. */
function contentOf(type: string, data: Json, ce: Event["ce"], left: string[]): [JsonObject, string?] {
  if (data === null && type === "") return [{}];
  if (/^application\/cloudevents\+json/.test(type)) return [{ json: { specversion: "1.0", ...ce, data } }, type];
  if (/^application\/x-www-form-urlencoded|^multipart\//.test(type)) return [{ form: data }];
  if (/json/.test(type) || typeof data !== "string") {
    return /^application\/json/.test(type) ? [{ json: data }] : [{ json: data }, type];
  }
  if (!/^text\/|xml/.test(type)) left.push("the bytes of the request, which are not text");
  return [{ body: data }, type];
}

function batchOf(event: Event, trigger: Trigger, { left, now: closed }: Omit<Beginning, "entries">): Beginning {
  const data = isObject(event.data) ? event.data as JsonObject : {};
  const members = (Array.isArray(data.events) ? data.events : []).filter((member) => isObject(member)) as JsonObject[];
  const now = Date.parse(String(data.since ?? event.time));
  const entries: JsonObject[] = [];
  let at = now;
  for (const member of members) {
    const when = Date.parse(String(member.time));
    if (when > at && when < closed) entries.push({ advance: new Date(at = when).toISOString() });
    entries.push({ send: sentEvent(member, trigger) });
    if (member.http !== undefined) left.push("event.http of the events of the batch");
  }
  return { now, entries, left: [...new Set(left)] };
}
