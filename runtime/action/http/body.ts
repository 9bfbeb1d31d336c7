import { Buffer } from "node:buffer";
import { TerminalError } from "../../model/errors.ts";
import type { Json } from "../../model/json.ts";
import { parseJson } from "../../model/parse_json.ts";
import { type Format, parse } from "../../rule/format.ts";
import { withDetail } from "../detail.ts";

/** The body of an answer, as far as it was read. */
export interface Body {
  text: string;
  /** False where it has more than was read. */
  complete: boolean;
  /** Whether its content type says JSON. */
  isJson: boolean;
}

/**
 * Reads up to `limit` bytes, counted after decompression; what is beyond is not transferred.
 * @throws the signal's reason once aborted; an Error where the connection breaks
 */
export async function readBody(name: string, response: Response, limit: number, signal: AbortSignal): Promise<Body> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  const abort = () => reader?.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", abort);
  try {
    while (reader !== undefined && bytes <= limit) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      bytes += value.length;
    }
    signal.throwIfAborted();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new Error(`The answer to ${name} broke off after ${bytes} bytes: ${(error as Error).message}`);
  } finally {
    signal.removeEventListener("abort", abort);
    await reader?.cancel().catch(() => {});
  }
  return toBody(response, Buffer.concat(chunks).subarray(0, limit), bytes <= limit);
}

/**
 * What the body of a success is in a step's result.
 * @throws TerminalError where it cannot be read as `format` or its content type say: what was asked has been done, so asking again
 * could do it a second time
 */
export function parseBody(name: string, { text, isJson }: Body, format: Format | undefined): Json {
  if (format === undefined && text === "") return null;
  if (format === undefined && !isJson) return text;
  try {
    return parse(text, format ?? "json");
  } catch (error) {
    const message = `Cannot read the answer to ${name} as ${format ?? "JSON, which its content type says it is"}`;
    throw withDetail(new TerminalError(`${message}: ${(error as Error).message}`), text.slice(0, 1_000).toWellFormed());
  }
}

/** What the body of a failure is in its detail: data where it is JSON, else the text. */
export function parseFailureBody({ text, isJson }: Body): Json {
  if (!isJson) return text;
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

function toBody({ headers }: Response, bytes: Uint8Array, complete: boolean): Body {
  const type = headers.get("content-type") ?? "";
  // Streaming leaves out a character that the limit cut in two.
  const text = decoderOf(type).decode(bytes, { stream: !complete });
  return { text, complete, isJson: /^[^;]*[/+]json\s*(;|$)/i.test(type) };
}

function decoderOf(contentType: string): TextDecoder {
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}
