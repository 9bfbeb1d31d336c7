import { createHash } from "node:crypto";
import { parseJson, writeExactJson } from "../formats/exact_json.ts";
import { byField } from "../formats/multipart.ts";
import { evaluate, ExpressionError } from "../language/expressions/expression.ts";
import { messageOf } from "../model/errors.ts";
import type { HttpRequestFacts } from "../model/event.ts";
import { newId } from "../model/id.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { type Trigger } from "../model/rule.ts";
import { type CloudEvent, isCloudEvent, readCloudEvents } from "./cloud_event.ts";
import { defineTrigger, shortId, type TriggerEvent } from "./trigger.ts";
import { authenticate, checkAuth, standardPrefix, trustsEventHeaders, verifiedHeaders } from "./webhook_auth.ts";
import {
  methodsOf,
  parseBody,
  type ReadWebhookArgs,
  schemas,
  type WebhookArgs,
  type WebhookRequest,
} from "./webhook_request.ts";

export { methodsOf, type WebhookRequest };

/** The meaning of a request to a webhook. */
export type Received =
  /** `isBatch`: they came as a batch of CloudEvents, also if it is one event or none. */
  | { kind: "events"; events: ReceivedEvent[]; isBatch: boolean; within?: number }
  | { kind: "handshake"; status: number; headers: Record<string, string>; body: string }
  | { kind: "refused"; status: 400 | 401; message: string };

export type ReceivedEvent = TriggerEvent & { http: HttpRequestFacts };

/** Events are stored and shown, so they leave out headers with credentials: these, and the one that `auth` verified. */
const CREDENTIALS = ["authorization", "cookie"];
const SEGMENT = /^(:[A-Za-z_]\w*|[^\s/:?#*]+)$/;

/** A path below `/hooks`, to which other programs send requests. */
export const webhook = defineTrigger({
  ...schemas,
  summary: "Listens on a path below /hooks",
  address: (args) => {
    const methods = methodsOf(args).join(",");
    return `webhook ${methods === "POST" ? "" : `${methods} `}${args.webhook}`;
  },
  check: checkHook,
  attach: ({ rule, trigger, args, hooks }) =>
    hooks.add({ rule: rule.id, trigger: trigger.id, path: args.webhook, args, at: trigger.at }),
});

/**
 * Decides what a request is: authenticates its sender by its raw bytes, reads the body, answers a provider's handshake, and finds
 * the event's type and identity. Pure, except for new ids.
 * @param args the trigger's
 * @param now milliseconds since the epoch
 * @param secretOf the value of a secret, or undefined if it is not set
 * @param given secrets that the provider gave in handshakes
 */
export function receive(
  args: WebhookArgs,
  request: WebhookRequest,
  now: number,
  secretOf: (name: string) => string | undefined,
  given: string[] = [],
): Received {
  const denied = authenticate(args, request, now, secretOf, given);
  if (denied !== undefined) return { kind: "refused", status: 401, message: denied };
  const { headers } = request;
  const within = args.within === undefined ? {} : { within: args.within };
  const http = factsOf(args, request);
  const identified = (event: Omit<ReceivedEvent, "id">, files?: Json): ReceivedEvent => {
    return { id: identityOf(args, headers, { ...event, ...files && { files } }, now) ?? newId(now), ...event };
  };
  const trusted = trustsEventHeaders(args.auth) ? headers : withoutEventMode(headers);
  if (isCloudEvent(trusted)) {
    const read = readCloudEvents(trusted, request.body);
    if ("problem" in read) return refuse(`The body is not a CloudEvent: ${read.problem}`);
    const events = read.events.map((event) => identified({ ...eventOf(event), http }));
    return { kind: "events", events, isBatch: read.isBatch, ...within };
  }
  let data: Json;
  try {
    data = readPayload(args.auth, dataOf(request));
  } catch (error) {
    return refuse(messageOf(error));
  }
  const handshake = handshakeOf(args.auth, headers, data);
  if (handshake !== undefined) return { kind: "handshake", ...handshake };
  const files = args.dedupe?.includes("files") ? hashedFiles(request) : undefined;
  const event = identified({ type: typeOf(args.auth, headers, data), data, http }, files);
  return { kind: "events", events: [event], isBatch: false, ...within };
}

/** Headers that nothing signs make no request a CloudEvent in binary mode. */
function withoutEventMode(headers: WebhookRequest["headers"]): WebhookRequest["headers"] {
  if (headers["ce-specversion"] === undefined) return headers;
  const { "ce-specversion": _version, ...others } = headers;
  return others;
}

function refuse(message: string): Received {
  return { kind: "refused", status: 400, message };
}

function dataOf({ form, body, headers }: WebhookRequest): Json {
  if (form === undefined) return parseBody(body, headers["content-type"]);
  if ("problem" in form) throw new Error(form.problem);
  return form.fields;
}

/**
 * Its type stays `webhook`: the sender of a webhook must not be able to end a wait for an event of any type. Which type it says is in
 * `ce`.
 */
function eventOf({ subject, time, data, ce }: CloudEvent): Omit<TriggerEvent, "id"> {
  return { type: "webhook", ...subject !== undefined && { subject }, ...time !== undefined && { time }, data, ce };
}

/** The files of a form for `dedupe`, which is evaluated before they are saved. */
function hashedFiles({ form }: WebhookRequest): Json {
  if (form === undefined || "problem" in form) return {};
  return byField(form.files, ({ name, type, bytes }) => {
    return { name, type, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  });
}

function factsOf(args: WebhookArgs, { method, path, params, query, headers }: WebhookRequest): HttpRequestFacts {
  const secret = [...CREDENTIALS, ...verifiedHeaders(args)];
  const leftOut = secret.filter((name) => Object.hasOwn(headers, name));
  const shown = Object.entries(headers).filter(([name]) => !leftOut.includes(name));
  const facts = { method, path, params, query, headers: Object.fromEntries(shown) };
  return leftOut.length === 0 ? facts : { ...facts, leftOut: [...new Set(leftOut)] };
}

/** What is wrong with the path and the auth of a webhook. */
export function checkHook(args: Pick<ReadWebhookArgs, "webhook" | "auth" | "secret">): string[] {
  return [...checkPath(args.webhook), ...checkAuth(args)];
}

function checkPath(path: string): string[] {
  const segments = path.split("/").slice(1);
  if (path.startsWith("/") && segments.every((segment) => SEGMENT.test(segment))) return [];
  return [`expected a path such as /github or /price/:sku, got "${path}"`];
}

/** The arguments of a webhook, or of the one beside a poll; undefined for other triggers. */
export function hookOf({ kind, args }: Pick<Trigger, "kind" | "args">): JsonObject | undefined {
  if (kind === "webhook") return args;
  return isObject(args.hook) ? args.hook : undefined;
}

/**
 * The path of a webhook, or of the hook of a poll, whose provider gives the secret in a handshake; undefined for other
 * triggers.
 */
export function handshakePathOf(trigger: Pick<Trigger, "kind" | "args">): string | undefined {
  const hook = hookOf(trigger);
  return hook?.auth === "asana" && typeof hook.webhook === "string" ? hook.webhook : undefined;
}

type Headers = Record<string, string>;

/** GitHub and Slack can send JSON in the field `payload` of a form: the event's data is the value of that field. */
function readPayload(auth: Json, data: Json): Json {
  const payload = (auth === "github" || auth === "slack") ? field(data, "payload") : undefined;
  if (typeof payload !== "string") return data;
  try {
    return parseJson(payload, "data");
  } catch (error) {
    throw new Error(`The field payload is not JSON: ${messageOf(error)}`);
  }
}

/** The answer to a provider's test of the address; such a request is no event. */
function handshakeOf(
  auth: Json,
  headers: Headers,
  data: Json,
): { status: number; headers: Headers; body: string } | undefined {
  const plain = { "content-type": "text/plain; charset=utf-8" };
  if (auth === "github" && headers["x-github-event"] === "ping") {
    return { status: 200, headers: { "content-type": "application/json" }, body: '{"pong":true}' };
  }
  // https://developers.asana.com/docs/webhooks-guide: an empty delivery every eight hours shows that the webhook works.
  const events = field(data, "events");
  if (auth === "asana" && Array.isArray(events) && events.length === 0) {
    return { status: 200, headers: plain, body: "" };
  }
  const challenge = field(data, "challenge");
  if (auth === "slack" && field(data, "type") === "url_verification" && typeof challenge === "string") {
    return { status: 200, headers: plain, body: challenge };
  }
  return undefined;
}

/** `webhook`, or the provider's type: `github.push`, `stripe.invoice.paid`, `slack.app_mention`, `shopify.orders.create`. */
function typeOf(auth: Json, headers: Headers, data: Json): string {
  switch (auth) {
    case "github":
      return typed("github", headers["x-github-event"]);
    case "gitlab":
      return typed("gitlab", field(data, "object_kind") ?? field(data, "event_name"));
    case "stripe":
      return typed("stripe", field(data, "type"));
    case "shopify":
      return typed("shopify", headers["x-shopify-topic"]?.replaceAll("/", "."));
    case "telegram":
      return typed("telegram", updateOf(data));
    case "slack":
      return typed("slack", field(field(data, "event"), "type") ?? field(data, "type") ?? slashCommand(data));
    default:
      return "webhook";
  }
}

/**
 * Two deliveries with the same identity are one event. It is the rule's `dedupe`, else the provider's delivery id; undefined if
 * there is neither. If `dedupe` finds nothing (null, a missing key), the provider's id is used.
 */
function identityOf(
  { auth, dedupe }: WebhookArgs,
  headers: Headers,
  event: { type: string; data: Json; http: HttpRequestFacts; ce?: Record<string, string>; files?: Json },
  now: number,
): string | undefined {
  const asked = dedupe !== undefined ? evaluateDedupe(dedupe, event, now) : null;
  if (asked !== null) return shortId(typeof asked === "string" ? asked : writeExactJson(asked));
  const { ce, data } = event;
  const sent = ce === undefined ? deliveryId(auth, headers, data) : JSON.stringify([ce.source, ce.id]);
  return sent === undefined ? undefined : shortId(sent);
}

function evaluateDedupe(text: string, event: JsonObject | object, now: number): Json {
  try {
    return evaluate(text, { event: { ...event, time: new Date(now).toISOString() }, $now: now });
  } catch (error) {
    if (error instanceof ExpressionError) return null;
    throw error;
  }
}

function deliveryId(auth: Json, headers: Headers, data: Json): string | undefined {
  const inBody = idInBody(auth, data);
  if (inBody !== undefined) return inBody;
  // Asana sends no id. Each of its events has a time, so that only a repeated delivery has the same signature.
  if (auth === "asana") return headers["x-hook-signature"];
  // Another id beside it is not signed.
  if (auth === "standard") return headers[`${standardPrefix(headers)}-id`];
  const names = ["webhook-id", "svix-id", "x-github-delivery", "x-shopify-webhook-id", "idempotency-key"];
  return names.map((name) => headers[name]).find((id) => id);
}

function idInBody(auth: Json, data: Json): string | undefined {
  const id = auth === "stripe" ? field(data, "id") : auth === "slack" ? slackId(data) : undefined;
  if (typeof id === "string") return id;
  const update = auth === "telegram" ? field(data, "update_id") : undefined;
  return typeof update === "number" ? String(update) : undefined;
}

/** The event id from the Events API; commands, buttons and views have none, so their trigger id is used. */
function slackId(data: Json): Json | undefined {
  return field(data, "event_id") ?? field(data, "trigger_id");
}

/** The kind of a Telegram update: its key beside `update_id`, such as `message`. */
function updateOf(data: Json): string | undefined {
  return isObject(data) ? Object.keys(data).find((name) => name !== "update_id") : undefined;
}

function slashCommand(data: Json): string | undefined {
  return field(data, "command") === undefined ? undefined : "command";
}

function typed(provider: string, type: Json | undefined): string {
  return typeof type === "string" && /^[\w.-]{1,200}$/.test(type) ? `${provider}.${type}` : "webhook";
}

function field(data: Json | undefined, name: string): Json | undefined {
  return isObject(data) && Object.hasOwn(data, name) ? data[name] : undefined;
}
