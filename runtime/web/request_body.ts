import { Buffer } from "node:buffer";

/** A request's body, or the answer to a request whose body is refused. */
export type Body = { bytes: Uint8Array } | { refused: Response };

/** Time limit for a complete body: a sender that stops half-way must not hold memory for ever. */
const TIMEOUT = 30_000;
/** A body up to this size is read in one go, in half the time that its pieces take; holding it costs next to nothing. */
const SMALL = 65_536;

/**
 * Reads a request's body up to `limit` bytes; a longer one is refused as early as possible. Compressed bodies are refused:
 * a few bytes can expand to a gigabyte.
 */
export async function readRequestBody(request: Request, limit: number): Promise<Body> {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    return refuse(415, `Compressed bodies are not accepted (content-encoding: ${encoding})`, {
      "accept-encoding": "identity",
    });
  }
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
