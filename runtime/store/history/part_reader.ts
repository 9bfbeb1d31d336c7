import type { Disk } from "../../host/disk.ts";
import { codeOf, messageOf } from "../../model/errors.ts";
import { type OpenPart, rowsOf, usePart, type Value } from "./part_file.ts";
import { causeNeedle, idNeedle, verdictNeedle } from "./history_lines.ts";
import type { AwaitedSearch, EventFilter, RunFilter } from "./catalogue.ts";
import type { Catalogue } from "../ledger/tables.ts";

/** An event from a part; texts are JSON. */
export interface PartEvent {
  id: number;
  text: string;
  /** Its amendments in the same part, oldest first. */
  more: string[];
}

/** A run from a part. */
export interface PartRun {
  id: string;
  listed: boolean;
  text: string;
  /** Its later amendments in the same part, oldest first. */
  more: string[];
}

/** A listed run from a part, without steps and notes. */
export interface PartBrief {
  id: string;
  text: string;
}

/** The amendments in a part to events and runs of earlier parts. */
export interface PartMore {
  id: string | number;
  /** Whether the run also ended in this part, which makes the record of an earlier part obsolete. */
  ended: boolean;
  more: string[];
}

/** The queries on a part, by name. */
export interface PartReads {
  /** Those of the events that the part has. */
  eventsByKey: { args: { keys: number[] }; result: PartEvent[] };
  run: { args: { id: string }; result: PartRun | undefined };
  /**
   * Newest first. By verdict, it gives each event that has or had it; `late` are keys of events that got it in later parts.
   */
  events: { args: { filter: EventFilter; late?: number[]; limit: number }; result: PartEvent[] };
  /** Listed runs, newest first. `after`: only runs newer than this id. `heads`: their texts are their headers. */
  runs: { args: { filter: RunFilter; after?: string; limit: number; heads?: boolean }; result: PartBrief[] };
  /** Keys of events that got a verdict of this kind in an amendment here. */
  late: { args: { verdict: string }; result: number[] };
  /** Oldest first, without amendments. */
  awaited: { args: { search: AwaitedSearch; limit: number }; result: PartEvent[] };
  /** Those of the ids (events' keys, runs' ids) with amendments. */
  more: { args: { ids: (string | number)[] }; result: PartMore[] };
  /** The catalogue, for a part whose row was lost in a crash. */
  catalogue: { args: Record<never, never>; result: Catalogue };
}

export type PartRead = keyof PartReads;

/** A query on one part. */
export interface PartQuestion<K extends PartRead> {
  file: string;
  read: K;
  args: PartReads[K]["args"];
}

/**
 * `missing`: the file does not exist. `damaged`: it is not valid or has unreadable sectors, which is permanent. `failed`: it could
 * not be read this time, for example because of too many open files.
 */
export type PartAnswer<K extends PartRead> =
  | { kind: "read"; result: PartReads[K]["result"] }
  | { kind: "missing" }
  | { kind: "damaged" | "failed"; reason: string };

/** Asks the worker thread for a query on one part; see {@link readPart}. */
export type ReadPart = <K extends PartRead>(question: PartQuestion<K>) => Promise<PartAnswer<K>>;

/** Reads from one part: a task of the worker thread. If a part cannot be read, that is a result, never an exception. */
export async function readPart<K extends PartRead>(
  disk: Disk,
  folder: string,
  { file, read, args }: PartQuestion<K>,
): Promise<{ result: PartAnswer<K> }> {
  try {
    const result = await usePart(disk, folder, file, (part) => READS[read](part, args));
    return { result: { kind: "read", result } };
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { result: { kind: "missing" } };
    return { result: { kind: isDamage(error) ? "damaged" : "failed", reason: messageOf(error) } };
  }
}

/** Whether an error from reading a part is permanent. */
export function isDamage(error: unknown): boolean {
  const code = codeOf(error);
  return code === undefined || code === "EIO";
}

/** A run's header as JSON. */
const RUN_HEADER = "json_array(id, rule, state, event, subject, created_at, ended_at, listed, version)";

const READS: { [K in PartRead]: (part: OpenPart, args: PartReads[K]["args"]) => PartReads[K]["result"] } = {
  eventsByKey(part, { keys }) {
    return keys.flatMap((key) => eventsOf(part, "SELECT key, text FROM events_with_text WHERE key = ?", [key]));
  },

  run(part, { id }) {
    return runsOf(part, "SELECT id, listed, text, line FROM runs_with_text WHERE id = ?", [id])[0];
  },

  events(part, { filter: { type, rule, subject, verdict, text, cause, id, before, after }, late = [], limit }) {
    const where = new Conditions();
    where.also("key < ?", before);
    where.also("key > ?", after);
    where.also("type = ?", type);
    where.also("subject = ?", subject);
    where.also("EXISTS (SELECT 1 FROM json_each(rules) WHERE value = ?)", rule);
    for (const needle of [text, cause && causeNeedle(cause), id && idNeedle(id)]) {
      if (needle) where.alsoOneOf([textHas(needle)]);
    }
    if (verdict === "unmatched") where.also("delivery = ?", verdict);
    else if (verdict !== undefined) where.alsoOneOf(hasVerdict(verdict, late));
    return eventsOf(part, `SELECT key, text FROM events_with_text ${where} ORDER BY key DESC LIMIT ?`, [
      ...where.values,
      limit,
    ]);
  },

  runs(part, { filter, after, limit, heads }) {
    const { rule, state, event, subject, before, ids } = filter;
    const where = new Conditions();
    where.also("listed = ?", 1);
    where.also("id < ?", before);
    where.also("id > ?", after);
    where.also("id > ?", filter.after);
    where.also("rule = ?", rule);
    where.also("state = ?", state);
    where.also("event = ?", event);
    where.also("subject = ?", subject);
    where.also("id IN (SELECT value FROM json_each(?))", ids && JSON.stringify(ids));
    const sql = heads
      ? `SELECT id, ${RUN_HEADER} FROM runs ${where} ORDER BY id DESC LIMIT ?`
      : `SELECT id, brief FROM runs_with_text ${where} ORDER BY id DESC LIMIT ?`;
    return rowsOf<[string, string]>(part, sql, [...where.values, limit]).map(([id, text]) => ({ id, text }));
  },

  late(part, { verdict }) {
    return rowsOf<[number]>(part, `SELECT DISTINCT id FROM ${AMENDED}`, [verdictNeedle(verdict)]).flat();
  },

  awaited(part, { search: { types, after, needle }, limit }) {
    const where = new Conditions();
    where.also("key > ?", after);
    where.alsoOneOf(types.map(typeCondition));
    if (needle !== "") where.alsoOneOf([textHas(needle)]);
    const sql = `SELECT key, text FROM events_with_text ${where} ORDER BY key LIMIT ?`;
    return rowsOf<[number, string]>(part, sql, [...where.values, limit]).map(([id, text]) => ({ id, text, more: [] }));
  },

  more(part, { ids }) {
    const found = ids.map((id) => ({
      id,
      ended: typeof id === "string" && rowsOf(part, "SELECT 1 FROM runs WHERE id = ?", [id]).length > 0,
      more: moreOf(part, id),
    }));
    return found.filter(({ ended, more }) => ended || more.length > 0);
  },

  catalogue(part) {
    const [[catalogue]] = rowsOf<[string]>(part, "SELECT value FROM about WHERE name = 'catalogue'");
    return { ...JSON.parse(catalogue), file: part.file, bytes: part.bytes.length };
  },
};

function eventsOf(part: OpenPart, sql: string, values: Value[]): PartEvent[] {
  return rowsOf<[number, string]>(part, sql, values).map(([id, text]) => ({ id, text, more: moreOf(part, id) }));
}

function runsOf(part: OpenPart, sql: string, values: Value[]): PartRun[] {
  return rowsOf<[string, number, string, number]>(part, sql, values)
    .map(([id, listed, text, line]) => ({ id, listed: listed === 1, text, more: moreOf(part, id, line) }));
}

/** The amendments of a run or event after a line. */
function moreOf(part: OpenPart, id: string | number, line = -1): string[] {
  const sql = "SELECT text FROM more_with_text WHERE id = ? AND line > ? ORDER BY line";
  return rowsOf<[string]>(part, sql, [id, line]).flat();
}

/** A WHERE clause with its bound values. */
class Conditions {
  readonly values: Value[] = [];
  readonly #conditions: string[] = [];

  /** @param value if undefined, the condition is left out */
  also(condition: string, value: Value | undefined): void {
    if (value === undefined) return;
    this.#conditions.push(condition);
    this.values.push(value);
  }

  alsoOneOf(conditions: [condition: string, ...values: Value[]][]): void {
    this.#conditions.push(`(${conditions.map(([condition]) => condition).join(" OR ") || "FALSE"})`);
    this.values.push(...conditions.flatMap(([, ...values]) => values));
  }

  toString(): string {
    return this.#conditions.length === 0 ? "" : `WHERE ${this.#conditions.join(" AND ")}`;
  }
}

/** Most blocks do not contain the text, and this searches each block only once. */
function textHas(needle: string): [string, ...Value[]] {
  return ["block IN (SELECT block FROM blocks WHERE instr(texts, ?) > 0) AND instr(text, ?) > 0", needle, needle];
}

/** Amendments of events with a text. Keys are large numbers, which the column keeps as reals. */
const AMENDED = "more_with_text WHERE typeof(id) <> 'text' AND instr(text, ?) > 0";

function hasVerdict(kind: string, late: number[]): [string, ...Value[]][] {
  const needle = verdictNeedle(kind);
  return [
    textHas(needle),
    [`key IN (SELECT id FROM ${AMENDED})`, needle],
    ["key IN (SELECT value FROM json_each(?))", JSON.stringify(late)],
  ];
}

/** Types are compared by their bytes; the character after "." is "/". */
function typeCondition(pattern: string): [string, ...Value[]] {
  if (pattern === "*") return ["TRUE"];
  if (!pattern.endsWith(".*")) return ["type = ?", pattern];
  return ["type >= ? AND type < ?", pattern.slice(0, -1), `${pattern.slice(0, -2)}/`];
}
