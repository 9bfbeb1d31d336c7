import { Buffer } from "node:buffer";
import { TextDecoder } from "node:util";
import { charsetIn, type DecodeOptions, decodeReadable, decodeText } from "../formats/decode_text.ts";
import { messageOf } from "../model/errors.ts";

/** The part of a stream that was kept. */
export interface Kept {
  text: string;
  /** Why some bytes are not text in the charset; in `text` each of them is U+FFFD. */
  undecodable?: string;
  /** How many bytes were left out. */
  dropped: number;
}

/** Bytes at the beginning of a stream from which its charset is detected. */
const DETECTION = 200;
/** Bytes within which the next line must begin; otherwise the text begins in the middle of a line. */
const LONGEST_LINE = 64 * 1024;

/** The most bytes of a newline. They are kept too, and show whether the rest begins with a line. */
const NEWLINE = 2;

/** Keeps the first bytes. */
export class Head {
  readonly #chunks: Buffer[] = [];
  #room: number;
  #dropped = 0;

  constructor(limit: number) {
    this.#room = limit;
  }

  add(chunk: Buffer): void {
    const part = chunk.subarray(0, this.#room);
    if (part.length > 0) this.#chunks.push(part);
    this.#room -= part.length;
    this.#dropped += chunk.length - part.length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  kept(charset?: string): Kept {
    const cut = this.#dropped > 0;
    return { ...decode(this.bytes(), { charset, cut }), dropped: this.#dropped };
  }
}

/** Keeps the last bytes. */
export class Tail {
  readonly #beginning = new Head(DETECTION);
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #dropped = 0;

  constructor(private readonly limit: number) {}

  add(chunk: Buffer): void {
    this.#beginning.add(chunk);
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes - this.#chunks[0].length >= this.limit + NEWLINE) this.#drop(this.#chunks.shift()!.length);
  }

  kept(charset?: string): Kept {
    const bytes = Buffer.concat(this.#chunks);
    let start = Math.max(0, bytes.length - this.limit);
    if (start > 0 || this.#dropped > 0) start = characterStart(bytes, start);
    return { ...decode(bytes.subarray(start), { charset }), dropped: this.#dropped + start };
  }

  /**
   * The last lines; of a line that is too long, its last characters.
   * @param room bytes that the text may take as JSON
   */
  lines(room: number, charset?: string): Kept {
    const bytes = Buffer.concat(this.#chunks);
    // The beginning of the stream may have been dropped.
    const label = charsetIn(this.#beginning.bytes(), { charset });
    for (let length = Math.min(bytes.length, this.limit);;) {
      const isWhole = length === bytes.length && this.#dropped === 0;
      const start = isWhole ? 0 : lineStart(bytes, bytes.length - length, this.#dropped, label);
      const text = decode(bytes.subarray(start), { known: label });
      const size = jsonBytes(text.text);
      if (size <= room) return { ...text, dropped: this.#dropped + start };
      length = Math.floor((bytes.length - start) * (room / size) * 0.99);
    }
  }

  #drop(bytes: number): void {
    this.#bytes -= bytes;
    this.#dropped += bytes;
  }
}

/** The ends of both streams, together at most `room` bytes as JSON. If both are longer than that, each gets half of it. */
export function lastLines(
  streams: { stdout: Tail; stderr: Tail },
  room: number,
  charset?: string,
): { stdout: Kept; stderr: Kept } {
  const stdout = streams.stdout.lines(room, charset);
  const taken = jsonBytes(stdout.text);
  const stderr = streams.stderr.lines(Math.max(room / 2, room - taken), charset);
  const left = room - jsonBytes(stderr.text);
  return { stdout: taken <= left ? stdout : streams.stdout.lines(left, charset), stderr };
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}

/**
 * The offset of the first line that begins at or after `start`, or else of the first character.
 * @param before bytes of the stream before these
 */
function lineStart(bytes: Buffer, start: number, before: number, label: string): number {
  const isWide = label.startsWith("utf-16");
  const from = isWide ? start + (before + start) % 2 : start;
  const width = isWide ? 2 : 1;
  // In the charsets of East Asia only the beginning of a line is certain to begin a character.
  const within = isWide || label === "utf-8" ? LONGEST_LINE : bytes.length;
  const end = Math.min(bytes.length - width, from + within);
  for (let at = Math.max(0, from - width); at < end; at += width) {
    if (isNewline(bytes, at, label)) return at + width;
  }
  if (isWide) return isLowSurrogate(bytes, from, label) ? from + 2 : from;
  return label === "utf-8" ? characterStart(bytes, from) : from;
}

function isNewline(bytes: Buffer, at: number, label: string): boolean {
  if (label === "utf-16be") return bytes[at] === 0 && bytes[at + 1] === 0x0a;
  return bytes[at] === 0x0a && (!label.startsWith("utf-16") || bytes[at + 1] === 0);
}

function isLowSurrogate(bytes: Buffer, at: number, label: string): boolean {
  return (bytes[label === "utf-16be" ? at : at + 1] & 0xfc) === 0xdc;
}

/** Skips the rest of a character whose beginning was dropped: in UTF-8 the bytes 10xxxxxx. */
function characterStart(bytes: Buffer, start: number): number {
  while ((bytes[start] & 0xc0) === 0x80) start++;
  return start;
}

function decode(bytes: Uint8Array, options: DecodeOptions): Pick<Kept, "text" | "undecodable"> {
  try {
    return { text: decodeText(bytes, options) };
  } catch (error) {
    return { text: decodeReadable(bytes, options), undecodable: messageOf(error) };
  }
}

/** Characters of an output that are kept. These are far more than are shown, so that no part of a secret at the cut is shown. */
const KEPT = 64 * 1_024;
/** Milliseconds after which an unfinished line is shown, if no more bytes have come. */
const SETTLES = 1_000;
/** Maximum number of outputs; the oldest is evicted first. */
const MOST_OUTPUTS = 200;

/** Receives the output of a running program. */
export interface LiveOutput {
  write(stream: "stdout" | "stderr", bytes: Uint8Array): void;
  /** The program has ended; its output is in the record of its step. */
  close(): void;
}

/** The last output of a running program. */
export interface ShownOutput {
  step: string;
  text: string;
  /** Whether there was more before it. */
  isCut: boolean;
}

/**
 * The output of programs while they run: the end of each output, in memory. Both streams are one text, as on a terminal.
 */
export class LiveOutputs {
  readonly #open = new Set<OpenOutput>();
  #changes = 0;

  /** Increases with each change. */
  changes(): number {
    return this.#changes;
  }

  /** The outputs of a run, in the order in which its programs were started. */
  of(run: string): ShownOutput[] {
    return [...this.#open].filter((output) => output.run === run).map((output) => output.shown());
  }

  open(run: string, step: string, charset?: string): LiveOutput {
    const output = new OpenOutput(run, step, charset, () => this.#changes++);
    this.#open.add(output);
    if (this.#open.size > MOST_OUTPUTS) this.#open.delete(this.#open.values().next().value!);
    this.#changes++;
    return {
      write: (stream, bytes) => output.write(stream, bytes),
      close: () => {
        output.close();
        this.#open.delete(output);
        this.#changes++;
      },
    };
  }
}

class OpenOutput {
  readonly #decoders: Record<"stdout" | "stderr", TextDecoder>;
  #text = "";
  #isCut = false;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #isSettled = false;

  constructor(
    readonly run: string,
    private readonly step: string,
    charset: string | undefined,
    private readonly onChange: () => void,
  ) {
    this.#decoders = { stdout: decoderOf(charset), stderr: decoderOf(charset) };
  }

  write(stream: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#text += this.#decoders[stream].decode(bytes, { stream: true });
    if (this.#text.length > 2 * KEPT) {
      this.#text = this.#text.slice(-KEPT);
      this.#isCut = true;
    }
    this.#isSettled = false;
    clearTimeout(this.#settling);
    if (!this.#text.endsWith("\n")) this.#settling = setTimeout(() => this.#settle(), SETTLES);
    this.onChange();
  }

  /** Leaves out an unfinished line: it may end in a part of a secret, which no mask would find. */
  shown(): ShownOutput {
    const text = this.#isSettled ? this.#text : this.#text.slice(0, this.#text.lastIndexOf("\n") + 1);
    return { step: this.step, text, isCut: this.#isCut };
  }

  close(): void {
    clearTimeout(this.#settling);
  }

  #settle(): void {
    this.#isSettled = true;
    this.onChange();
  }
}

/** An unknown charset is no error here: the step fails because of it when it ends. */
function decoderOf(charset = "utf-8"): TextDecoder {
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}
