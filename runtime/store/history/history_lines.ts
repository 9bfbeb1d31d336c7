import { Buffer } from "node:buffer";
import type { RunState, StepRecord } from "../../model/run.ts";
import type { EndedRunRow } from "../ledger/tables.ts";
import type { EventRecord, Note, Reply } from "../store.ts";

/** The body of a history line: JSON, as text or as its UTF-8 bytes. */
export type Text = Uint8Array | string;

/** An accepted event. Keys ascend. `rules` are those with a verdict on it. */
export type EventHeader = [
  key: number,
  at: number,
  type: string,
  subject: string | null,
  delivery: EventRecord["delivery"],
  rules: string[],
];

/** An ended run. A later one with the same id replaces it. Unlisted runs are only found by id. */
export type RunHeader = [
  id: string,
  rule: string,
  state: RunState,
  event: number,
  subject: string | null,
  createdAt: number,
  endedAt: number,
  listed: 0 | 1,
  version: string,
];

/** An amendment of an event or an ended run. */
export type MoreHeader = ["event", key: number] | ["run", id: string];

/** The content of an event's text. */
export type EventText = Pick<EventRecord, "event" | "receivedAt" | "delivery" | "verdicts">;

/** The content of a run's text. */
export interface RunText {
  run: EndedRunRow;
  event: number;
  steps: StepRecord[];
  notes: Note[];
}

/** An amendment of an event. */
export type EventMore =
  | { deliveries: number }
  | { verdict: EventRecord["verdicts"][number] }
  | { ended: EventRecord["ended"][number] }
  | { reply: Reply };

/** An amendment of a run. */
export interface RunMore {
  note: Note;
}

/** A run in a listing: without notes and without steps, which may be large. */
export type BriefText = Pick<RunText, "run" | "event">;

/** The start of a run's text, and the text after the run object. */
const START = '{"run":{';
const EVENT = /^,"event":\d+(?=,"steps":)/;

/** Longer than any match of {@link EVENT}. */
const EVENT_LENGTH = 48;

/** The text of a run without steps and notes: cut, not parsed. */
export function briefText(text: string): string {
  const length = briefLength(text);
  return length < text.length ? `${text.slice(0, length)}}` : text;
}

/**
 * How many bytes (for a string: characters) of a run's text come before its steps. Followed by a `}` they are a
 * {@link BriefText}. Returns the length of the text if that has another form.
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

/** The end of an object in a JSON text. @param from its opening brace */
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

/** The position of a string's closing quote. @param from its opening quote */
function endOfString(codeAt: (at: number) => number, from: number, length: number): number {
  let at = from + 1;
  while (at < length && codeAt(at) !== QUOTE) at += codeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}

const VERDICT = '"verdict":{"kind":"';

/** A text in the JSON of each event with a verdict of this kind. Data that look like a verdict may contain it, too. */
export function verdictNeedle(kind: string): string {
  return `${VERDICT}${kind}"`;
}

/** A text in the JSON of each event that a run caused. */
export function causeNeedle(run: string): string {
  return `,"run":${JSON.stringify(run)}}`;
}

/** The kinds of verdicts in the text of an event or its amendment. */
export function verdictKinds(text: Text): string[] {
  return [...new Set(valuesAfter(text, VERDICT, /^\w{1,40}(?=")/).map(([kind]) => kind))];
}

/** A text in the JSON of each event with this id. */
export function idNeedle(id: string): string {
  return `"id":${JSON.stringify(id)}`;
}

/** The run that caused an event; data that look like a cause count as well. */
export function causesIn(text: Text): string[] {
  return valuesAfter(text, '"cause":{"depth":', /^\d{1,6},"run":"([\w-]{1,64})"\}/).map(([, run]) => run);
}

/** The matches of a pattern directly after each occurrence of a mark. */
function valuesAfter(text: Text, mark: string, value: RegExp): RegExpExecArray[] {
  const source = typeof text === "string" ? text : Buffer.from(text.buffer, text.byteOffset, text.length);
  const found: RegExpExecArray[] = [];
  for (let at = source.indexOf(mark); at !== -1; at = source.indexOf(mark, at + mark.length)) {
    const match = value.exec(textAt(text, at + mark.length, at + mark.length + 100));
    if (match) found.push(match);
  }
  return found;
}
