import { Buffer } from "node:buffer";
import { charsetOf, decodeText } from "../formats/decode_text.ts";
import { parseJson } from "../formats/exact_json.ts";
import type { ParseOptions } from "../formats/feed.ts";
import { type Format, nameOfFormat } from "../formats/format.ts";
import { messageOf, networkReason, RetryAfterError, TerminalError, withDetail } from "../model/errors.ts";
import { addressesOfAnswers, headerFields } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { parseBeside } from "../workers/parse_in_thread.ts";
import { type ActionContext, defineAction, saving } from "./action.ts";
import { multipartBody } from "./http_multipart.ts";
import { checkRequest, readRequest, readRetryAfter, schemas } from "./http_request.ts";
import { send } from "./http_send.ts";

/** The most bytes, after decompression, of the body of an answer. */
const BODY_LIMIT = 10_000_000;
/** How many bytes of the body of a failure are kept; its detail says `truncated` if there were more. */
const FAILURE_LIMIT = 64_000;
const EXCERPT = 200;

/**
 * Sends one request. In its result header names are in lower case, several `set-cookie` a list; `body` is data if the answer is JSON or
 * `format` says how to parse it, text if it is text, else base64, and null if it is empty; with `save` it is the file with the body. A
 * status that is neither 2xx nor in `ok` is a failure. As after network errors, there is another attempt after 408, 429 and 5xx; all
 * other statuses are final.
 */
export const http = defineAction({
  ...schemas,
  summary: "Sends an HTTP request",
  defaults: { timeout: 30_000, attempts: 3 },
  check: checkRequest,
  async execute(args, context) {
    const { ok = [] } = args;
    const request = readRequest(args, context);
    // Read for each attempt: a run does not hold files in memory while it waits for the next one.
    if (args.multipart) request.body = await multipartBody(args.multipart, request.name, context);
    const response = await send(request, ok, context);
    const accepted = response.ok || ok.includes(response.status);
    if (accepted && args.save !== undefined) {
      return { output: await save(args.save, request.name, response, context) };
    }
    const body = await readResponseBody(request.name, response, accepted ? BODY_LIMIT : FAILURE_LIMIT, context.signal);
    if (!accepted) throw failure(request.name, response, body);
    if (!body.complete) {
      throw new TerminalError(
        `The answer to ${request.name} has over ${
          BODY_LIMIT / 1_000_000
        } MB, more than an http step takes; "save: name" would put it into a file, or ask for less, in pages or by a filter`,
      );
    }
    const warn = (message: string) => context.services.log("warn", `${request.name}: ${message}`, {});
    // An answer of a test has no address of its own.
    const base = response.url || request.url.href;
    const data = parseBody(request.name, body, args, { base, warn });
    const output = result(response, data instanceof Promise ? await data : data);
    if (response.url !== "") addressesOfAnswers.set(output, base);
    return { output };
  },
});

function save(file: string, name: string, response: Response, context: ActionContext<unknown>): Promise<JsonObject> {
  return saving(context, { name: file, what: `the answer to ${name}` }, async (draft) => {
    await takeBody(name, response, context.signal, async (chunk) => {
      await draft.write(chunk);
      return true;
    });
    return result(response, await draft.keep(response.headers.get("content-type") ?? "application/octet-stream"));
  });
}

function failure(name: string, response: Response, body: Body): Error {
  const excerpt = (readableText(body) ?? "").replace(/\s+/g, " ").trim();
  const shown = excerpt.length > EXCERPT ? `${excerpt.slice(0, EXCERPT)}…` : excerpt;
  const status = `${response.status} ${response.statusText}`.trim();
  const message = `${name} answered ${status}${shown && `: ${shown}`}`;
  const detail = { ...result(response, parseFailureBody(body)), ...!body.complete && { truncated: true } };
  return withDetail(failureClass(message, response), detail);
}

function failureClass(message: string, { status, headers }: Response): Error {
  if (status !== 408 && status !== 429 && status < 500) return new TerminalError(message);
  const retryAfter = readRetryAfter(headers, Date.now());
  return retryAfter === undefined ? new Error(message) : new RetryAfterError(message, retryAfter);
}

function result(response: Response, body: Json): JsonObject {
  return { status: response.status, headers: headerFields(response.headers), body };
}

/** The part of an answer's body that was read. */
interface Body {
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
async function readResponseBody(
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
async function takeBody(
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
        throw new Error(describeBreak(name, response, bytes, error));
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

function describeBreak(name: string, { headers }: Response, bytes: number, error: Error): string {
  const encoding = headers.get("content-encoding");
  const reason = networkReason(error);
  // Hosts name this in their own ways: "Invalid gzip header", "unexpected end of file", "ZlibError".
  if (encoding && /zlib|gzip|deflate|brotli|zstd|decompress|end of file/i.test(reason)) {
    return `The answer to ${name} cannot be unpacked: it is not valid ${encoding}, or cut off (${reason})`;
  }
  return `The answer to ${name} broke off after ${bytes} bytes: ${reason}`;
}

/**
 * The body of a success in a step's result: data, text, or base64 if its content type is not a text type.
 * @throws TerminalError if it cannot be parsed as `format` or its content type says: the server has executed the request,
 * and another attempt could execute it a second time
 */
function parseBody(
  name: string,
  body: Body,
  { format, charset }: { format?: Format; charset?: string },
  options: ParseOptions,
): Json | Promise<Json> {
  if (format === undefined && body.bytes.length === 0) return null;
  if (format === undefined && charset === undefined && !isText(body)) return toBase64(body);
  if (format === "base64") return toBase64(body);
  const isJson = JSON_TYPE.test(typeOf(body));
  const text = decode(name, body, charset);
  if (format === undefined && !isJson) return text;
  const fail = (error: unknown): never => {
    const as = format === undefined ? "JSON, which its content type says it is" : nameOfFormat(format);
    const message = `Cannot read the answer to ${name} as ${as}`;
    throw withDetail(new TerminalError(`${message}: ${messageOf(error)}`), text.slice(0, 1_000).toWellFormed());
  };
  try {
    const data = parseBeside(text, format ?? "json", options);
    return data instanceof Promise ? data.catch(fail) : data;
  } catch (error) {
    return fail(error);
  }
}

/** The body of a failure in its detail: data if it is JSON, else as with a success. */
function parseFailureBody(body: Body): Json {
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
function readableText(body: Body): string | undefined {
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
