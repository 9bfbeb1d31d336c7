import { type Event, typePatterns } from "../../model/event.ts";
import { readExactJson, writeExactJson } from "../../formats/exact_json.ts";
import { asJson, type Json } from "../../model/json.ts";
import { behind, join, ordered } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { WaitRow } from "../ledger/tables.ts";
import type { Wait } from "../store.ts";

/** The index fields of an event wait. Values are compared as JSON, regardless of key order. */
export function targetOf(
  { types, match }: Extract<Wait, { kind: "event" }>,
): Required<Pick<WaitRow, "types" | "paths" | "values">> {
  const paths = Object.keys(match).sort();
  return {
    types: [...new Set(types)],
    paths: JSON.stringify(paths),
    values: writeExactJson(paths.map((path) => sorted(match[path]))),
  };
}

/**
 * The waits that an event ends: the oldest one of each run. Costs one look-up per pattern that matches its type and per list of
 * paths used with that pattern, however many runs wait.
 */
export function findWaits(rows: Rows, event: Event): WaitRow[] {
  const found = new Map<string, WaitRow>();
  if (rows.size("wait") === 0) return [];
  for (const pattern of typePatterns(event.type)) {
    for (const paths of listsOfPaths(rows, pattern)) {
      const values = valuesAt(event, JSON.parse(paths));
      if (values === undefined) continue;
      for (const wait of rows.range("wait", "event", join(pattern, paths, writeExactJson(values), ""))) {
        const other = found.get(wait.run);
        if (other === undefined || wait.position < other.position) found.set(wait.run, wait);
      }
    }
  }
  return [...found.values()].sort((a, b) => a.position - b.position);
}

/** Whether an event matches the wait; its type is already checked. */
export function matches(event: Event, { paths, values }: WaitRow): boolean {
  const found = valuesAt(event, JSON.parse(paths!));
  return found !== undefined && writeExactJson(found) === values;
}

/** The longest text that is in the JSON of each event with these values. It lets a search skip most other events unparsed. */
export function needleOf({ paths, values }: WaitRow): string {
  const [names, wanted]: [string[], Json[]] = [JSON.parse(paths!), readExactJson(values!) as Json[]];
  const texts = wanted.flatMap((value, at) =>
    /^(data|http)\b/.test(names[at]) && typeof value !== "object" ? writeExactJson(value) : []
  );
  return texts.reduce((longest, text) => text.length > longest.length ? text : longest, "");
}

/** Whether an event has ended a wait of a run. */
export function isTaken(rows: Rows, run: string, event: number): boolean {
  return rows.get("taken", takenKey(run, event)) !== undefined;
}

export function takenKey(run: string, event: number): string {
  return join(run, ordered(event));
}

/** The lists of paths used with a type. Jumps from one to the next in the index, past all rows between them. */
function* listsOfPaths(rows: Rows, type: string): Generator<string> {
  const prefix = join(type, "");
  const index = rows.index("wait", "event");
  for (let entry = index.first(prefix); entry !== undefined;) {
    const paths = rows.get("wait", entry[1])!.paths!;
    yield paths;
    entry = index.first(prefix, behind(join(type, paths, "")));
  }
}

/** The values at the paths of an event, keys sorted; undefined if one is missing. */
function valuesAt(event: Event, paths: string[]): Json[] | undefined {
  const values: Json[] = [];
  for (const path of paths) {
    const value = valueAt(asJson(event), path);
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

/** The same value with the keys of all objects sorted. */
function sorted(value: Json): Json {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(sorted);
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}
