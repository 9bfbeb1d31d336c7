import { type Event, typePatterns } from "../../model/event.ts";
import type { Json } from "../../model/json.ts";
import type { Wait } from "../store.ts";
import type { Database } from "./database.ts";
import { readEvent } from "./rows.ts";

type EventWait = Extract<Wait, { kind: "event" }>;

/** How many events are looked at between two queries, on the search among those that came before a wait. */
const BATCH = 32;

/** Behind every type. */
const LAST_TYPE = "\u{10ffff}";

/** Behind the key of every event. */
const LAST_EVENT = Number.MAX_SAFE_INTEGER;

/**
 * Says what events a wait waits for. Values are compared as they are stored: equal as JSON, whatever the order of keys, and with
 * secrets masked on both sides.
 */
export function putAwaited(database: Database, wait: number, { types, match }: EventWait): void {
  const paths = Object.keys(match).sort();
  for (const type of new Set(types)) {
    database.run(
      "INSERT INTO awaited (type, paths, vals, wait) VALUES (?, $paths, $vals, ?)",
      type,
      paths,
      paths.map((path) => sorted(match[path])),
      wait,
    );
  }
}

export function dropAwaited(database: Database, wait: number): void {
  database.run("DELETE FROM awaited WHERE wait = ?", wait);
}

/**
 * The waits that an event ends, in each run the oldest one. It costs a look-up for each pattern of its type and for each
 * list of paths that is asked for with it, however many runs wait.
 */
export function findWaits(database: Database, event: Event): { run: string; path: string }[] {
  const found = new Map<string, { run: string; path: string; position: number }>();
  for (const pattern of typePatterns(event.type)) {
    for (const paths of listsOfPaths(database, pattern)) {
      const values = valuesAt(event, JSON.parse(paths));
      if (values === undefined) continue;
      const waits = database.all<{ position: number; run: string; path: string }>(
        "SELECT position, run, path FROM awaited CROSS JOIN waits ON position = wait " +
          "WHERE type = ? AND paths = @paths AND vals = $vals ORDER BY wait",
        pattern,
        paths,
        values,
      );
      for (const wait of waits) {
        const other = found.get(wait.run);
        if (other === undefined || wait.position < other.position) found.set(wait.run, wait);
      }
    }
  }
  return [...found.values()].sort((a, b) => a.position - b.position);
}

/** The oldest event behind `began` that a wait waits for and that has ended no wait of its run. */
export function findEarlier(database: Database, wait: number, run: string, began: number): number | undefined {
  const rows = database.all<{ type: string; paths: string; vals: string }>(
    "SELECT type, paths, vals FROM awaited WHERE wait = ?",
    wait,
  );
  let earliest: number | undefined;
  for (const { type, paths, vals } of rows) {
    for (const known of typesLike(database, type)) {
      earliest = findOfType(database, { run, type: known, paths, vals }, began, earliest) ?? earliest;
    }
  }
  return earliest;
}

interface Sought {
  run: string;
  type: string;
  paths: string;
  vals: string;
}

/** The first one behind `after` and before `until`. */
function findOfType(database: Database, { run, type, paths, vals }: Sought, after: number, until = LAST_EVENT) {
  const needle = needleOf(JSON.parse(paths), JSON.parse(vals));
  for (let at = after;;) {
    const keys = database.all<{ key: number }>(
      "SELECT key FROM events CROSS JOIN bodies ON event = key WHERE type = @type AND key > ? " +
        "AND key < ? AND instr(body, @needle) > 0 ORDER BY key LIMIT ?",
      type,
      at,
      until,
      needle,
      BATCH,
    );
    const found = keys.find(({ key }) => matches(database, key, paths, vals) && !isTaken(database, run, key));
    if (found !== undefined) return found.key;
    if (keys.length < BATCH) return undefined;
    at = keys[keys.length - 1].key;
  }
}

/** A text that stands in the body of each event with these values, the longest: most others need not be parsed. */
function needleOf(paths: string[], values: Json[]): string {
  const texts = values.flatMap((value, at) =>
    /^(data|http)\b/.test(paths[at]) && typeof value !== "object" ? JSON.stringify(value) : []
  );
  return texts.reduce((longest, text) => text.length > longest.length ? text : longest, "");
}

function matches(database: Database, key: number, paths: string, vals: string): boolean {
  const values = valuesAt(readEvent(database, key), JSON.parse(paths));
  return values !== undefined && JSON.stringify(values) === vals;
}

function isTaken(database: Database, run: string, event: number): boolean {
  return database.value("SELECT 1 FROM taken WHERE run = @run AND event = ?", run, event) !== undefined;
}

/** The lists of paths that are asked for with a type: from one to the next by the index, past all rows between them. */
function* listsOfPaths(database: Database, type: string): Generator<string> {
  for (let last: string | undefined = "";;) {
    last = database.value<string>(
      "SELECT paths FROM awaited WHERE type = ? AND paths > @last ORDER BY paths LIMIT 1",
      type,
      last,
    );
    if (last === undefined) return;
    yield last;
  }
}

/** The types of stored events that a type or pattern means. */
function typesLike(database: Database, pattern: string): string[] {
  if (pattern !== "*" && !pattern.endsWith(".*")) return [pattern];
  const prefix = pattern.slice(0, -1);
  const types: string[] = [];
  const next = (comparison: string, last: string) =>
    database.value<string>(
      `SELECT type FROM events WHERE type ${comparison} @last AND type < @end ORDER BY type LIMIT 1`,
      last,
      prefix + LAST_TYPE,
    );
  for (let type = next(">=", prefix); type !== undefined; type = next(">", type)) types.push(type);
  return types;
}

/** What stands at the paths of an event, keys sorted; undefined where something is missing. */
function valuesAt(event: Event, paths: string[]): Json[] | undefined {
  const values: Json[] = [];
  for (const path of paths) {
    const value = valueAt(event as unknown as Json, path);
    if (value === undefined) return undefined;
    values.push(sorted(value));
  }
  return values;
}

/** Follows a path such as `data.lines.0.id` through own properties only. */
function valueAt(value: Json | undefined, path: string): Json | undefined {
  for (const name of path.split(".")) {
    if (value === null || typeof value !== "object") return undefined;
    if (Array.isArray(value) ? !/^\d+$/.test(name) : !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, Json>)[name];
  }
  return value;
}

/** The same value with the keys of all objects in one order. */
function sorted(value: Json): Json {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(sorted);
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}
