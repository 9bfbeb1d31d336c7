import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { Buffer } from "node:buffer";
import { promisify } from "node:util";
import { gunzip, inflate, inflateRaw, type ZlibOptions } from "node:zlib";
import { z } from "zod";
import { parseJson } from "../formats/exact_json.ts";
import { messageOf, UsageError } from "../model/errors.ts";

/** The name that is recorded for the acts of somebody who gives none. */
export const SOMEBODY = "an operator";
/** The name of the person for whom a program acts, in the body of its request. */
export const personName = z.string().trim().min(1).max(100).describe("Who it is done for, by name");

const MAX_BODY = 1024 * 1024;

/**
 * Reads and checks a request's query.
 * @throws UsageError if it is invalid
 */
export function queryOf<T>(c: Context, schema: z.ZodType<T>): T {
  return check(schema, c.req.query(), "query");
}

/**
 * Reads and checks a request's body as JSON; an empty one is an empty object.
 * @throws UsageError if it is invalid
 */
export async function bodyOf<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const body = await readRequestBody(c.req.raw, MAX_BODY);
  if ("refused" in body) throw new HTTPException(body.refused.status as ContentfulStatusCode, { res: body.refused });
  const text = new TextDecoder().decode(body.bytes);
  try {
    return check(schema, text === "" ? {} : parseJson(text), "body");
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`The body is not JSON: ${error.message}`);
    throw error;
  }
}

function check<T>(schema: z.ZodType<T>, given: unknown, what: string): T {
  const checked = schema.safeParse(given);
  if (checked.success) return checked.data;
  throw new UsageError(`The ${what} is not valid: ${z.prettifyError(checked.error).replaceAll("\n", " ")}`);
}

/** A request's body, or the answer to a request whose body is refused. `packed`: as it was sent, if it was compressed. */
export type Body = { bytes: Uint8Array; packed?: Uint8Array } | { refused: Response };

/** Time limit for a complete body: a sender that stops half-way must not hold memory for ever. */
const TIMEOUT = 30_000;
/** A body up to this size is read in one go, in half the time that its pieces take; holding it costs next to nothing. */
const SMALL = 65_536;

type Unpack = (bytes: Uint8Array, options: ZlibOptions) => Promise<Uint8Array>;

// `DecompressionStream` is not used: that of Deno 2.9 unpacks half a gigabyte before it hands out its first piece.
const unzip: Unpack = promisify(gunzip);
/** What is accepted besides bodies as they are. */
const ENCODINGS: Record<string, Unpack> = { gzip: unzip, "x-gzip": unzip, deflate: unpackDeflate };

/**
 * Reads a request's body up to `limit` bytes; a longer one is refused as early as possible. If it is compressed, the limit is that of
 * the unpacked body, too, as a few bytes can expand to a gigabyte.
 */
export function readRequestBody(request: Request, limit: number): Promise<Body> {
  const encoding = (request.headers.get("content-encoding") ?? "").trim().toLowerCase();
  return encoding === "" || encoding === "identity"
    ? readSent(request, limit)
    : readCompressed(request, encoding, limit);
}

async function readCompressed(request: Request, encoding: string, limit: number): Promise<Body> {
  if (!Object.hasOwn(ENCODINGS, encoding)) {
    return refuse(415, `Bodies are accepted as they are, with gzip or with deflate, not with ${encoding}`, {
      "accept-encoding": "gzip, deflate",
    });
  }
  const sent = await readSent(request, limit);
  return "refused" in sent ? sent : await unpack(sent.bytes, encoding, limit);
}

async function unpack(packed: Uint8Array, encoding: string, limit: number): Promise<Body> {
  try {
    return { bytes: await ENCODINGS[encoding](packed, { maxOutputLength: Math.max(limit, 1) }), packed };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return tooLarge(limit);
    return refuse(400, `The body is not valid ${encoding}, which its content-encoding says it is: ${messageOf(error)}`);
  }
}

/** By its standard it has a header (zlib), but some senders leave that out (RFC 9110, section 8.4.1.2). */
async function unpackDeflate(packed: Uint8Array, options: ZlibOptions): Promise<Uint8Array> {
  const hasHeader = (packed[0] & 0x0f) === 8 && ((packed[0] << 8) + packed[1]) % 31 === 0;
  return await promisify(hasHeader ? inflate : inflateRaw)(packed, options);
}

/** Reads the body as it was sent. */
async function readSent(request: Request, limit: number): Promise<Body> {
  const length = Number(request.headers.get("content-length") ?? NaN);
  if (length > limit) return tooLarge(limit);
  const { body, giveUp } = length <= SMALL ? readWhole(request) : readPieces(request, limit);
  return await new Promise((resolve) => {
    const timer = setTimeout(() => {
      giveUp();
      resolve(refuse(408, `The body was not complete after ${TIMEOUT / 1_000} s`, { connection: "close" }));
    }, TIMEOUT);
    const end = (read: Body) => {
      clearTimeout(timer);
      resolve(read);
    };
    body.then(end, () => end(refuse(400, "The body ended before it was complete")));
  });
}

interface Reading {
  body: Promise<Body>;
  giveUp(): void;
}

/** The host enforces the length that the sender declared. */
function readWhole(request: Request): Reading {
  return { body: request.arrayBuffer().then((buffer) => ({ bytes: new Uint8Array(buffer) })), giveUp() {} };
}

function readPieces({ body }: Request, limit: number): Reading {
  const reader = body?.getReader();
  return {
    body: reader === undefined ? Promise.resolve({ bytes: new Uint8Array() }) : collect(reader, limit),
    giveUp: () => void reader?.cancel().catch(() => {}),
  };
}

async function collect(reader: ReadableStreamDefaultReader<Uint8Array>, limit: number): Promise<Body> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > limit) {
      reader.cancel().catch(() => {});
      return tooLarge(limit);
    }
    chunks.push(part.value);
  }
  return { bytes: Buffer.concat(chunks) };
}

function tooLarge(limit: number): Body {
  return refuse(413, `The body is longer than ${limit} bytes`, { connection: "close" });
}

function refuse(status: number, error: string, headers: Record<string, string> = {}): Body {
  return { refused: Response.json({ error }, { status, headers }) };
}
