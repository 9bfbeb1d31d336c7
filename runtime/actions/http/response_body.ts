import { Buffer } from "node:buffer";
import { messageOf, TerminalError, withDetail } from "../../model/errors.ts";
import { charsetOf, decodeText } from "../../formats/decode_text.ts";
import type { Json } from "../../model/json.ts";
import { parseJson } from "../../formats/parse_json.ts";
import { type Format, nameOfFormat } from "../../formats/format.ts";
import { parseBeside } from "../../workers/parsing/parse_in_thread.ts";

/** The body of an answer, as far as it was read. */
export interface Body {
  bytes: Uint8Array;
  /** False if only a part was read. */
  complete: boolean;
  contentType: string;
}

/** Known content types of text in addition to `text/…`, JSON and XML. */
const TEXTS = [
  "csv",
  "ecmascript",
  "graphql",
  "javascript",
  "json-seq",
  "json5",
  "jsonl",
  "jsonlines",
  "ndjson",
  "sql",
  "toml",
  "x-javascript",
  "x-ndjson",
  "x-pem-file",
  "x-sh",
  "x-www-form-urlencoded",
  "x-yaml",
  "yaml",
];
const TEXT = new RegExp(`^(text/.*|.*[/+](json|xml|yaml|${TEXTS.join("|")}))$`);
const JSON_TYPE = /[/+]json$/;

/**
 * Reads up to `limit` bytes, counted after decompression; the rest is not transferred.
 * @throws the signal's reason once aborted; an Error if the connection breaks
 */
export async function readResponseBody(
  name: string,
  response: Response,
  limit: number,
  signal: AbortSignal,
): Promise<Body> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  await takeBody(name, response, signal, (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    return bytes <= limit;
  });
  const contentType = response.headers.get("content-type") ?? "";
  return { bytes: Buffer.concat(chunks).subarray(0, limit), complete: bytes <= limit, contentType };
}

/**
 * Reads a body piece by piece, decompressed, until its end or until `take` returns false.
 * @throws the signal's reason once aborted; an Error if the connection breaks; what `take` throws
 */
export async function takeBody(
  name: string,
  response: Response,
  signal: AbortSignal,
  take: (chunk: Uint8Array) => boolean | Promise<boolean>,
): Promise<void> {
  const reader = response.body?.getReader();
  const abort = () => reader?.cancel(signal.reason).catch(() => {});
  let bytes = 0;
  signal.addEventListener("abort", abort);
  try {
    while (reader !== undefined) {
      signal.throwIfAborted();
      const { done, value } = await reader.read().catch((error) => {
        if (signal.aborted) throw signal.reason;
        throw new Error(`The answer to ${name} broke off after ${bytes} bytes: ${error.message}`);
      });
      signal.throwIfAborted();
      if (done) return;
      bytes += value.length;
      const taken = take(value);
      if (!(taken instanceof Promise ? await taken : taken)) return;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    await reader?.cancel().catch(() => {});
  }
}

/**
 * The body of a success in a step's result: data, text, or base64 if its content type is not a text type.
 * @throws TerminalError if it cannot be parsed as `format` or its content type say. The server has executed the request, so another
 * attempt could execute it a second time
 */
export function parseBody(
  name: string,
  body: Body,
  { format, charset }: { format?: Format; charset?: string },
): Json | Promise<Json> {
  if (format === undefined && body.bytes.length === 0) return null;
  if (format === undefined && charset === undefined && !isText(body)) return toBase64(body);
  const isJson = JSON_TYPE.test(typeOf(body));
  const text = decode(name, body, charset);
  if (format === undefined && !isJson) return text;
  const fail = (error: Error): never => {
    const as = format === undefined ? "JSON, which its content type says it is" : nameOfFormat(format);
    const message = `Cannot read the answer to ${name} as ${as}`;
    throw withDetail(new TerminalError(`${message}: ${error.message}`), text.slice(0, 1_000).toWellFormed());
  };
  try {
    const data = parseBeside(text, format ?? "json");
    return data instanceof Promise ? data.catch(fail) : data;
  } catch (error) {
    return fail(error as Error);
  }
}

/** The body of a failure in its detail: data if it is JSON, else as with a success. */
export function parseFailureBody(body: Body): Json {
  const text = readableText(body);
  if (text === undefined) return toBase64(body);
  if (!JSON_TYPE.test(typeOf(body))) return text;
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

/** The body of a failure as text, or undefined if it is no text. */
export function readableText(body: Body): string | undefined {
  return isText(body) ? tryDecode(body) : undefined;
}

function decode(name: string, { bytes, contentType }: Body, charset: string | undefined): string {
  try {
    return decodeText(bytes, { charset, contentType });
  } catch (error) {
    const start = Buffer.from(bytes.subarray(0, 1_000)).toString("base64");
    throw withDetail(new TerminalError(`Cannot read the answer to ${name}: ${messageOf(error)}`), start);
  }
}

function tryDecode({ bytes, contentType, complete }: Body): string | undefined {
  try {
    return decodeText(bytes, { contentType, cut: !complete });
  } catch {
    return undefined;
  }
}

/** Without a content type its bytes decide. */
function isText(body: Body): boolean {
  const type = typeOf(body);
  if (type === "") return tryDecode(body) !== undefined;
  return TEXT.test(type) || charsetOf(body.contentType) !== undefined;
}

function typeOf({ contentType }: Body): string {
  return contentType.split(";")[0].trim().toLowerCase();
}

function toBase64({ bytes }: Body): string {
  return Buffer.from(bytes).toString("base64");
}
