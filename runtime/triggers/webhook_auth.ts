import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { isSameText } from "../secrets/passwords.ts";
import type { ReadWebhookArgs, WebhookArgs, WebhookRequest } from "./webhook_request.ts";

type Auth = WebhookArgs["auth"];

/** A signed timestamp is accepted if it is at most this many seconds before or after now. */
const TOLERANCE = 300;

type Verify = (request: WebhookRequest, secret: string, now: number) => string | undefined;

const presets: Record<Exclude<Auth, object>, Verify> = {
  none: () => undefined,
  standard: verifyStandard,
  github: (request, secret) =>
    verifyHmac(request, secret, { hmac: "sha256", header: "X-Hub-Signature-256", encoding: "hex", prefix: "sha256=" }),
  stripe: verifyStripe,
  slack: verifySlack,
  asana: (request, secret) =>
    verifyHmac(request, secret, { hmac: "sha256", header: "X-Hook-Signature", encoding: "hex", prefix: "" }),
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
  const verify: Verify = typeof auth === "string"
    ? presets[auth]
    : (request, secret) => verifyHmac(request, secret, auth);
  // An empty secret would be known to everybody.
  const secrets = [...names.map(secretOf), ...given].filter((value) => value !== undefined).filter((value) =>
    value !== ""
  );
  if (secrets.length === 0) return "No secret is set for this hook, so nothing can be verified";
  let reason: string | undefined;
  for (const secret of secrets) {
    const denied = verify(request, secret, now);
    if (denied === undefined) return undefined;
    reason ??= denied;
  }
  return reason;
}

/** The headers that the presets verify; `basic` and `bearer` use `Authorization`. */
const VERIFIED: Partial<Record<Exclude<Auth, object>, string>> = {
  standard: "webhook-signature",
  github: "x-hub-signature-256",
  stripe: "stripe-signature",
  slack: "x-slack-signature",
  asana: "x-hook-signature",
};

/** The name, in lower case, of the header with the signature that `auth` verifies. */
export function verifiedHeader({ auth }: WebhookArgs): string | undefined {
  return typeof auth === "string" ? VERIFIED[auth] : auth.header.toLowerCase();
}

/** What is wrong with `auth` and `secret` together. */
export function checkAuth(args: Pick<ReadWebhookArgs, "auth" | "secret">): string[] {
  const name = typeof args.auth === "string" ? args.auth : "{ hmac: … }";
  if (args.auth === "none" && args.secret !== undefined) return [`"auth: none" checks nothing, so "secret" has no use`];
  // The provider gives the secrets itself.
  if (args.auth === "asana") return [];
  if (args.auth !== "none" && args.secret === undefined) {
    return [
      `"auth: ${name}" needs "secret"; add the name of the secret that requests are checked with, as in secret: HOOK_SECRET`,
    ];
  }
  return [];
}

/**
 * https://www.standardwebhooks.com. The `standardwebhooks` package is not used, as it reads the machine's clock and decodes
 * the body first.
 */
function verifyStandard({ headers, body }: WebhookRequest, secret: string, now: number): string | undefined {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!id || !timestamp || !signatures) {
    return "The headers webhook-id, webhook-timestamp and webhook-signature are needed";
  }
  const late = checkTimestamp("webhook-timestamp", timestamp, now);
  if (late !== undefined) return late;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  if (key.length === 0) return "The secret of this hook is not one of Standard Webhooks (whsec_ and base64)";
  const expected = mac("sha256", key, `${id}.${timestamp}.`, body).toString("base64");
  // A header that was sent twice arrives joined by a comma and a blank. A real signer sends it once.
  if (signatures.includes(", ")) return "The header webhook-signature was sent more than once";
  const found = signatures.split(" ").some((signature) => isSameText(signature, `v1,${expected}`));
  return found ? undefined : "The signature in webhook-signature does not match the body";
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
  { hmac, header, encoding, prefix }: Extract<Auth, object>,
): string | undefined {
  const given = headers[header.toLowerCase()];
  if (!given) return `The header ${header} with the signature is needed`;
  const expected = prefix + mac(hmac, secret, "", body).toString(encoding);
  return isSameText(given, expected) ? undefined : `The signature in ${header} does not match the body`;
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

function checkTimestamp(header: string, timestamp: string, now: number): string | undefined {
  const age = /^\d{1,12}$/.test(timestamp) ? Math.abs(now / 1_000 - Number(timestamp)) : Infinity;
  return age <= TOLERANCE ? undefined : `The time in ${header} is more than ${TOLERANCE} seconds from ours`;
}

function mac(algorithm: string, key: string | Uint8Array, before: string, body: Uint8Array): Buffer {
  const hmac = createHmac(algorithm, key);
  if (before !== "") hmac.update(before);
  return hmac.update(body).digest();
}
