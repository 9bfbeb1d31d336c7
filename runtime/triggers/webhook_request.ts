import { Buffer } from "node:buffer";
import { z } from "zod";
import { decodeText, namedCharset } from "../formats/decode_text.ts";
import { parseMaybeJson } from "../formats/exact_json.ts";
import { readLazyJson } from "../formats/lazy_json.ts";
import type { Multipart } from "../formats/multipart.ts";
import { duration, expression, secret, size } from "../language/arg_types.ts";
import type { Args, ReadArgs } from "../language/kind.ts";
import { messageOf } from "../model/errors.ts";
import { type HttpRequestFacts, readFields } from "../model/event.ts";
import type { Json } from "../model/json.ts";

const SECOND = 1_000;

const header = z.string().regex(/^[\w-]+$/, { error: "expected the name of a header such as X-Signature" });

const presets = [
  "none",
  "standard",
  "github",
  "gitlab",
  "stripe",
  "slack",
  "shopify",
  "telegram",
  "asana",
  "basic",
  "bearer",
] as const;

/** Who may send to a webhook: a preset, a header that equals the secret, or one with an HMAC. */
export const authSchema = z.union([
  z.enum(presets),
  z.strictObject({ token: header }),
  z.strictObject({
    hmac: z.enum(["sha256", "sha1", "sha512"]),
    header,
    encoding: z.enum(["hex", "base64"]).default("hex"),
    prefix: z.string().default(""),
    signed: z.string().optional().describe("What the HMAC is of; by default {body}"),
    timestamp: header.optional().describe("The header with the time that is signed"),
    tolerance: duration().optional().describe("How far that time may be from ours; by default 5m"),
  }),
]);

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
const originSchema = z.string().refine((text) => text === "*" || URL.parse(text)?.origin === text, {
  error: "expected an origin such as https://app.example.org, without a path",
});

/** The arguments of a webhook trigger. */
export const schemas = {
  kind: "webhook",
  main: z.string(),
  options: {
    auth: authSchema.describe("How the sender is authenticated"),
    secret: secret().optional().describe("Names of the secrets, several during a rotation; never a value"),
    method: z.union([z.enum(METHODS), z.array(z.enum(METHODS)).min(1)]).default("POST").describe(
      "One or several; GET answers HEAD, too",
    ),
    cors: z.union([originSchema, z.array(originSchema).min(1)]).optional().describe(
      "Origins whose pages may send from a browser, such as https://app.example.org; * for all",
    ),
    dedupe: expression({ names: ["event"] }).optional().describe("CEL over the event; equal values are one event"),
    within: duration().optional().describe("How long dedupe remembers a value"),
    replyWithin: duration().default(10 * SECOND).describe("How long to wait for the rule's reply"),
    maxBody: size().default(1_000_000).describe("The largest body that is accepted"),
  },
} as const;

export type WebhookArgs = Args<typeof schemas>;
export type ReadWebhookArgs = ReadArgs<typeof schemas>;

/** The methods that a webhook accepts, as written. */
export function methodsOf({ method }: Pick<ReadWebhookArgs, "method">): string[] {
  return [method].flat();
}

/** A request below `/hooks`, as received; its `path` is the part below `/hooks`. */
export interface WebhookRequest extends Omit<HttpRequestFacts, "leftOut"> {
  /** Unpacked, if it was compressed. */
  body: Uint8Array;
  /** As it was sent, if it was compressed. */
  packed?: Uint8Array;
  /** The parts of a body of `multipart/form-data`, or why it is none. */
  form?: Multipart | { problem: string };
}

/**
 * Reads a request's body by its content type: JSON, a form (a repeated name gives a list), text; anything else is base64. An
 * empty body is null.
 * @throws Error if the content type is JSON and the body is not, if there are two content types, or if a form has too many fields
 */
export function parseBody(body: Uint8Array, contentType = ""): Json {
  if (body.length === 0) return null;
  // A header that was sent twice arrives joined by a comma, and it is unclear which of the two is right.
  if (contentType.replace(/"[^"]*"/g, "").includes(",")) {
    throw new Error("The header content-type was sent more than once");
  }
  const type = contentType.split(";")[0].trim().toLowerCase();
  const text = textOf(body, contentType);
  if (/^application\/(.+\+)?json$/.test(type)) return readJson(text, type);
  if (text === undefined) return Buffer.from(body).toString("base64");
  // "curl -d" sends this content type with every body, also with JSON.
  if (type === "application/x-www-form-urlencoded") {
    return maybeJson(text) ?? readFields(inUtf8(text, body, namedCharset(contentType)), "body");
  }
  if (type === "") return maybeJson(text) ?? text;
  if (/^text\/|[/+]xml$/.test(type)) return text;
  return Buffer.from(body).toString("base64");
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Undefined if the bytes are not valid text in the charset from the content type, or of XML's declaration. */
function textOf(body: Uint8Array, contentType: string): string | undefined {
  const isXml = /^[^;]*[/+]xml\s*(;|$)/i.test(contentType);
  try {
    if (isXml) return decodeText(body, { contentType });
    const charset = namedCharset(contentType);
    return (charset === undefined ? UTF8 : new TextDecoder(charset, { fatal: true })).decode(body);
  } catch {
    return undefined;
  }
}

/** A form with its escapes in UTF-8, as they are read: they are those of bytes in the form's charset. */
function inUtf8(text: string, body: Uint8Array, charset = "utf-8"): string {
  if (/^utf-?8$/.test(charset)) return text;
  const decoder = new TextDecoder(charset);
  return Buffer.from(body).toString("latin1").replace(/[^&=]+/g, (escaped) => {
    const bytes = escaped.replaceAll("+", " ").replace(/%([0-9a-f]{2})/gi, (_, hex) => {
      return String.fromCharCode(parseInt(hex, 16));
    });
    return encodeURIComponent(decoder.decode(Buffer.from(bytes, "latin1")));
  });
}

function readJson(text: string | undefined, type: string): Json {
  try {
    if (text === undefined) throw new Error("it is not text in UTF-8, or in the charset that the content type names");
    return readLazyJson(text, "data");
  } catch (error) {
    const reason = messageOf(error);
    throw new Error(`The body is not valid JSON, although its content type is ${type}: ${reason}`);
  }
}

function maybeJson(text: string): Json | undefined {
  return /^\s*[[{]/.test(text) ? parseMaybeJson(text, "data") : undefined;
}
