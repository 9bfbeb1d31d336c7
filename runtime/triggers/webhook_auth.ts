import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { isSameText } from "../secrets/passwords.ts";
import type { ReadWebhookArgs, WebhookArgs, WebhookRequest } from "./webhook_request.ts";

type Auth = WebhookArgs["auth"];

/** A signed timestamp is accepted if it is at most this many milliseconds before or after now. */
const TOLERANCE = 300_000;

type Verify = (request: WebhookRequest, secret: string, now: number) => string | undefined;

type Hmac = Extract<Auth, { hmac: string }>;

const sha256 = (header: string, encoding: "hex" | "base64" = "hex", prefix = ""): Hmac => {
  return { hmac: "sha256", header, encoding, prefix };
};

/** The presets that are one of the general schemes with a header of their own. */
const SCHEMES = {
  // https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
  github: sha256("X-Hub-Signature-256", "hex", "sha256="),
  // https://docs.gitlab.com/user/project/integrations/webhooks/
  gitlab: { token: "X-Gitlab-Token" },
  // https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
  shopify: sha256("X-Shopify-Hmac-Sha256", "base64"),
  // https://core.telegram.org/bots/api#setwebhook
  telegram: { token: "X-Telegram-Bot-Api-Secret-Token" },
  asana: sha256("X-Hook-Signature"),
} as const;

const presets: Record<Exclude<Auth, object | keyof typeof SCHEMES>, Verify> = {
  none: () => undefined,
  standard: verifyStandard,
  stripe: verifyStripe,
  slack: verifySlack,
  basic: verifyBasic,
  bearer: verifyBearer,
};

/**
 * Authenticates the sender of a request by its raw bytes, in constant time, with each secret that is set (rotation).
 * @param given secrets from handshakes, in addition to the named ones
 * @returns why the request is refused, or undefined if it is accepted
 */
export function authenticate(
  { auth, secret: names = [] }: WebhookArgs,
  request: WebhookRequest,
  now: number,
  secretOf: (name: string) => string | undefined,
  given: string[] = [],
): string | undefined {
  if (auth === "none") return undefined;
  const verify = verifierOf(auth);
  // An empty secret would be known to everybody.
  const secrets = [...names.map(secretOf), ...given].filter((value) => value !== undefined).filter((value) =>
    value !== ""
  );
  if (secrets.length === 0) return "No secret is set for this hook, so nothing can be verified";
  // Senders sign what they make: some before it is compressed, some after.
  const bodies = request.packed === undefined ? [request] : [{ ...request, body: request.packed }, request];
  let reason: string | undefined;
  for (const secret of secrets) {
    for (const body of bodies) {
      const denied = verify(body, secret, now);
      if (denied === undefined) return undefined;
      reason ??= denied;
    }
  }
  return reason;
}

function verifierOf(auth: Auth): Verify {
  const scheme = schemeOf(auth);
  if (typeof scheme === "string") return presets[scheme];
  return (request, secret, now) =>
    "token" in scheme ? verifyToken(request, secret, scheme.token) : verifyHmac(request, secret, scheme, now);
}

/** A preset that is a general scheme counts as that. */
function schemeOf(auth: Auth): Extract<Auth, object> | keyof typeof presets {
  if (typeof auth !== "string") return auth;
  return Object.hasOwn(SCHEMES, auth) ? SCHEMES[auth as keyof typeof SCHEMES] : auth as keyof typeof presets;
}

/** The headers that the other presets verify; `basic` and `bearer` use `Authorization`. */
const VERIFIED: Partial<Record<Exclude<Auth, object>, string[]>> = {
  standard: ["webhook-signature", "svix-signature"],
  stripe: ["stripe-signature"],
  slack: ["x-slack-signature"],
};

/** The names, in lower case, of the headers with the signature or token that `auth` verifies. */
export function verifiedHeaders({ auth }: WebhookArgs): string[] {
  const scheme = schemeOf(auth);
  if (typeof scheme === "string") return VERIFIED[scheme] ?? [];
  return ["token" in scheme ? scheme.token.toLowerCase() : scheme.header.toLowerCase()];
}

/** What is wrong with `auth` and `secret` together. */
export function checkAuth(args: Pick<ReadWebhookArgs, "auth" | "secret">): string[] {
  const name = typeof args.auth === "string" ? args.auth : "token" in args.auth ? "{ token: … }" : "{ hmac: … }";
  if (args.auth === "none" && args.secret !== undefined) return [`"auth: none" checks nothing, so "secret" has no use`];
  // The provider gives the secrets itself.
  if (args.auth === "asana") return [];
  if (args.auth !== "none" && args.secret === undefined) {
    return [
      `"auth: ${name}" needs "secret"; add the name of the secret that requests are checked with, as in secret: HOOK_SECRET`,
    ];
  }
  return typeof args.auth === "object" && "hmac" in args.auth ? checkSigned(args.auth) : [];
}

/** What is wrong with the text that an HMAC is of. */
function checkSigned({ signed, timestamp, tolerance }: Extract<ReadWebhookArgs["auth"], { hmac: string }>): string[] {
  const places = [...(signed ?? "{body}").matchAll(/\{([^{}]*)\}/g)].map(([, name]) => name);
  const unknown = places.find((name) => name !== "body" && name !== "timestamp");
  if (unknown !== undefined) return [`auth: "signed" knows {timestamp} and {body}, got {${unknown}}`];
  if (!places.includes("body")) return ['auth: "signed" needs {body}: what is not signed could be changed on the way'];
  if (places.includes("timestamp") && timestamp === undefined) {
    return [
      'auth: {timestamp} in "signed" needs "timestamp"; add the name of its header, as in timestamp: X-Timestamp',
    ];
  }
  if (!places.includes("timestamp") && timestamp !== undefined) {
    return ['auth: "timestamp" has no use unless it is signed; add it, as in signed: "{timestamp}.{body}"'];
  }
  return tolerance !== undefined && timestamp === undefined ? ['auth: "tolerance" needs "timestamp"'] : [];
}

/**
 * https://www.standardwebhooks.com; Svix, which invented the scheme, uses other names for its headers. The `standardwebhooks` package is not used: it reads the machine's clock and decodes
 * the body first.
 */
function verifyStandard({ headers, body }: WebhookRequest, secret: string, now: number): string | undefined {
  const prefix = standardPrefix(headers);
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) => headers[`${prefix}-${name}`]);
  if (!id || !timestamp || !signatures) {
    return "The headers webhook-id, webhook-timestamp and webhook-signature are needed";
  }
  const late = checkTimestamp(`${prefix}-timestamp`, timestamp, now);
  if (late !== undefined) return late;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  if (key.length === 0) return "The secret of this hook is not one of Standard Webhooks (whsec_ and base64)";
  const expected = mac("sha256", key, `${id}.${timestamp}.`, body).toString("base64");
  // A header that was sent twice arrives joined by a comma and a blank. A real signer sends it once.
  if (signatures.includes(", ")) return `The header ${prefix}-signature was sent more than once`;
  const found = signatures.split(" ").some((signature) => isSameText(signature, `v1,${expected}`));
  return found ? undefined : `The signature in ${prefix}-signature does not match the body`;
}

/** How the names of the headers begin that `standard` verifies. */
export function standardPrefix(headers: Record<string, string>): "svix" | "webhook" {
  return headers["webhook-signature"] === undefined && headers["svix-signature"] !== undefined ? "svix" : "webhook";
}

/** Whether the headers of a CloudEvent may name the event: not if a signature or a provider's own scheme covers only the body. */
export function trustsEventHeaders(auth: Auth): boolean {
  return typeof auth === "string" ? ["none", "basic", "bearer"].includes(auth) : "token" in auth;
}

/** https://docs.stripe.com/webhooks#verify-manually */
function verifyStripe({ headers, body }: WebhookRequest, secret: string, now: number): string | undefined {
  const parts = (headers["stripe-signature"] ?? "").split(",").map((part) => part.trim().split("="));
  const [timestamp, ...others] = parts.filter(([name]) => name === "t").map(([, value]) => value);
  if (timestamp === undefined || others.length > 0) return "One header stripe-signature with t=…,v1=… is needed";
  const late = checkTimestamp("stripe-signature", timestamp, now);
  if (late !== undefined) return late;
  const expected = mac("sha256", secret, `${timestamp}.`, body).toString("hex");
  const found = parts.some(([name, signature]) => name === "v1" && isSameText(signature ?? "", expected));
  return found ? undefined : "The signature in stripe-signature does not match the body";
}

/** https://docs.slack.dev/authentication/verifying-requests-from-slack */
function verifySlack({ headers, body }: WebhookRequest, secret: string, now: number): string | undefined {
  const { "x-slack-request-timestamp": timestamp, "x-slack-signature": signature } = headers;
  if (!timestamp || !signature) return "The headers X-Slack-Request-Timestamp and X-Slack-Signature are needed";
  const late = checkTimestamp("X-Slack-Request-Timestamp", timestamp, now);
  if (late !== undefined) return late;
  const expected = `v0=${mac("sha256", secret, `v0:${timestamp}:`, body).toString("hex")}`;
  return isSameText(signature, expected) ? undefined : "The signature in X-Slack-Signature does not match the body";
}

function verifyHmac(
  { headers, body }: WebhookRequest,
  secret: string,
  { hmac, header, encoding, prefix, signed = "{body}", timestamp, tolerance }: Hmac,
  now: number,
): string | undefined {
  const given = headers[header.toLowerCase()];
  if (!given) return `The header ${header} with the signature is needed`;
  const time = timestamp === undefined ? "" : headers[timestamp.toLowerCase()];
  if (time === undefined) return `The header ${timestamp} with the time of the signature is needed`;
  const late = timestamp === undefined ? undefined : checkTimestamp(timestamp, time, now, tolerance);
  if (late !== undefined) return late;
  const expected = prefix + hmacOf({ hmac, signed }, secret, time, body).toString(encoding);
  return isSameText(given, expected) ? undefined : `The signature in ${header} does not match the body`;
}

/** The HMAC of a text such as `v0:{timestamp}:{body}`. */
export function hmacOf(
  { hmac, signed = "{body}" }: Pick<Hmac, "hmac" | "signed">,
  secret: string,
  timestamp: string,
  body: string | Uint8Array,
): Buffer {
  const made = createHmac(hmac, secret);
  for (const part of signed.split(/(\{(?:timestamp|body)\})/)) {
    made.update(part === "{body}" ? body : part === "{timestamp}" ? timestamp : part);
  }
  return made.digest();
}

/** A header that equals the secret. */
function verifyToken({ headers }: WebhookRequest, secret: string, header: string): string | undefined {
  const given = headers[header.toLowerCase()];
  if (!given) return `The header ${header} with the token is needed`;
  return isSameText(given, secret) ? undefined : `The token in ${header} is wrong`;
}

/** RFC 7617; the secret is `user:password`. */
function verifyBasic({ headers }: WebhookRequest, secret: string): string | undefined {
  const given = /^basic +(\S+)$/i.exec(headers.authorization ?? "");
  if (!given) return "The header Authorization: Basic … is needed";
  const decoded = Buffer.from(given[1], "base64").toString("utf8");
  return isSameText(decoded, secret) ? undefined : "The user name or the password is wrong";
}

/** RFC 6750. */
function verifyBearer({ headers }: WebhookRequest, secret: string): string | undefined {
  const given = /^bearer +(\S+)$/i.exec(headers.authorization ?? "");
  if (!given) return "The header Authorization: Bearer … is needed";
  return isSameText(given[1], secret) ? undefined : "The token is wrong";
}

function checkTimestamp(header: string, text: string, now: number, tolerance = TOLERANCE): string | undefined {
  return Math.abs(now - readTimestamp(text)) <= tolerance
    ? undefined
    : `The time in ${header} is more than ${tolerance / 1_000} seconds from ours`;
}

/** Seconds or milliseconds since the epoch, or RFC 3339. @returns milliseconds, NaN if it is none of these */
function readTimestamp(text: string): number {
  if (/^\d{1,11}$/.test(text)) return Number(text) * 1_000;
  if (/^\d{12,14}$/.test(text)) return Number(text);
  return /^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:\d{2})$/.test(text) ? Date.parse(text) : NaN;
}

function mac(algorithm: string, key: string | Uint8Array, before: string, body: Uint8Array): Buffer {
  const hmac = createHmac(algorithm, key);
  if (before !== "") hmac.update(before);
  return hmac.update(body).digest();
}
