import { messageOf } from "../../model/errors.ts";
import type { HttpRequestFacts } from "../../model/event.ts";
import { newId } from "../../model/id.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { defineTrigger, type TriggerEvent } from "../trigger.ts";
import { parseBody, type ReadWebhookArgs, schemas, type WebhookArgs, type WebhookRequest } from "./webhook_request.ts";
import { authenticate, checkAuth, verifiedHeader } from "./webhook_auth.ts";
import { handshakeOf, identityOf, readPayload, typeOf } from "./webhook_provider.ts";

export type { WebhookRequest };

/** What a request to a webhook is. */
export type Received =
  | { kind: "event"; event: TriggerEvent & { http: HttpRequestFacts }; within?: number }
  | { kind: "handshake"; status: number; headers: Record<string, string>; body: string }
  | { kind: "refused"; status: 400 | 401; message: string };

/** Events are stored and shown, so they leave out headers with credentials: these, and the one that `auth` verified. */
const CREDENTIALS = ["authorization", "cookie"];
const SEGMENT = /^(:[A-Za-z_]\w*|[^\s/:?#*]+)$/;

/** A path below `/hooks`, to which other programs send requests. */
export const webhook = defineTrigger({
  ...schemas,
  summary: "Listens on a path below /hooks",
  address: ({ webhook, method }) => `webhook ${method === "POST" ? "" : `${method} `}${webhook}`,
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
  let data: Json;
  try {
    data = readPayload(args.auth, parseBody(request.body, request.headers["content-type"]));
  } catch (error) {
    return { kind: "refused", status: 400, message: messageOf(error) };
  }
  const handshake = handshakeOf(args.auth, request.headers, data);
  if (handshake !== undefined) return { kind: "handshake", ...handshake };
  const [type, http] = [typeOf(args.auth, request.headers, data), factsOf(args, request)];
  const id = identityOf(args, request.headers, { type, data, http }, now) ?? newId(now);
  const { within } = args;
  return { kind: "event", event: { id, type, data, http }, ...(within !== undefined && { within }) };
}

function factsOf(args: WebhookArgs, { method, path, params, query, headers }: WebhookRequest): HttpRequestFacts {
  const secret = [...CREDENTIALS, verifiedHeader(args)];
  const leftOut = secret.filter((name) => name !== undefined && Object.hasOwn(headers, name)) as string[];
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

/** The path of a webhook, or of one beside a poll, whose provider gives the secret in a handshake; undefined for other triggers. */
export function handshakePathOf({ kind, args }: { kind: string; args: JsonObject }): string | undefined {
  const hook = (kind === "webhook" ? args : args.hook) as JsonObject | undefined;
  return hook?.auth === "asana" ? hook.webhook as string : undefined;
}
