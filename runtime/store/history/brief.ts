import { Buffer } from "node:buffer";
import type { RunText, Text } from "./lines.ts";

/** What a listing has of a run: no steps, which may be large, and no notes. */
export type BriefText = Pick<RunText, "run" | "event">;

/** How the text of a run begins, and what follows the run in it. */
const START = '{"run":{';
const EVENT = /^,"event":\d+(?=,"steps":)/;

/** More than {@link EVENT} can match. */
const EVENT_LENGTH = 48;

/** The text of a run without steps and notes: cut, not parsed. */
export function briefText(text: string): string {
  const length = briefLength(text);
  return length < text.length ? `${text.slice(0, length)}}` : text;
}

/**
 * How many bytes (of a string: characters) of a run's text stand before its steps. With a `}` behind them they are a
 * {@link BriefText}. It is the length of the text if that has another form.
 */
export function briefLength(text: Text): number {
  if (textAt(text, 0, START.length) !== START) return text.length;
  const end = endOfObject(text, START.length - 1);
  const event = EVENT.exec(textAt(text, end, end + EVENT_LENGTH));
  return event ? end + event[0].length : text.length;
}

function textAt(text: Text, from: number, to: number): string {
  if (typeof text === "string") return text.slice(from, to);
  return Buffer.from(text.buffer, text.byteOffset, text.length).toString("latin1", from, to);
}

const [QUOTE, BACKSLASH] = Buffer.from('"\\');
const [OPEN, CLOSE] = Buffer.from("{}");

/** Where an object of a JSON text ends. @param from its opening brace */
function endOfObject(text: Text, from: number): number {
  const codeAt = typeof text === "string" ? (at: number) => text.charCodeAt(at) : (at: number) => text[at];
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const code = codeAt(at);
    if (code === QUOTE) at = endOfString(codeAt, at, text.length);
    else if (code === OPEN) depth++;
    else if (code === CLOSE && --depth === 0) return at + 1;
  }
  return text.length;
}

/** Where the closing quote of a string stands. @param from its opening quote */
function endOfString(codeAt: (at: number) => number, from: number, length: number): number {
  let at = from + 1;
  while (at < length && codeAt(at) !== QUOTE) at += codeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}
