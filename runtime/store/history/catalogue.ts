import type { RunState } from "../../model/run.ts";
import type { EventSearch } from "../store.ts";
import type { Catalogue, Counts } from "../ledger/tables.ts";
import { Bloom } from "./bloom.ts";
import {
  causesIn,
  type EventHeader,
  type MoreHeader,
  type RunHeader,
  type Text,
  verdictKinds,
} from "./history_lines.ts";

/** The runs to list. */
export interface RunFilter {
  rule?: string;
  state?: RunState;
  /** The key of their event. */
  event?: number;
  subject?: string;
  /** Only runs older than this id. */
  before?: string;
  /** Only runs newer than this id. */
  after?: string;
  /** Only these. */
  ids?: string[];
}

/** The events to list. */
export interface EventFilter
  extends Pick<EventSearch, "type" | "rule" | "subject" | "verdict" | "text" | "cause" | "id"> {
  /** Only older ones than this key. */
  before?: number;
  /** Only newer ones than this key. */
  after?: number;
}

/** The events that may match a wait. */
export interface AwaitedSearch {
  /** Types and patterns such as `order.*` and `*`. */
  types: string[];
  /** Only events newer than this key. */
  after: number;
  /** A text that is in the JSON of each event that can match. */
  needle: string;
}

/** Maximum number of names that a catalogue counts, and of their characters in total. */
const MOST_NAMES = 256;
const MOST_CHARACTERS = 8192;

/** Maximum number of late verdicts that a catalogue lists: conditions that were answered long after their event. */
const MOST_LATE = 1_000;

const MOST_SPANS = 16;
const SUBJECT_BITS = 10;

/** A listing asks each newer part about each of its rows, so false positives must be rare. */
const EARLIER_BITS = 20;

/** Builds the catalogue of a part while the part is written. */
export class CatalogueBuilder {
  readonly #types = new Map<string, number>();
  readonly #rules = new Map<string, number>();
  readonly #verdicts = new Map<string, number>();
  readonly #late: [key: number, kind: string][] = [];
  readonly #states = new Map<string, Map<RunState, number>>();
  readonly #versions = new Map<string, number>();
  readonly #subjects = new Set<string>();
  readonly #earlier = new Set<string>();
  readonly #ended = new Set<string>();
  readonly #listed: { id: string; createdAt: number }[] = [];
  #events = 0;
  #keys: [number, number] | null = null;
  #ids: [string, string] | null = null;

  event([key, , type, subject, delivery, rules]: EventHeader, text: Text): void {
    this.#events++;
    for (const kind of verdictKinds(text)) count(this.#verdicts, kind);
    for (const run of causesIn(text)) this.#subjects.add(`cause/${run}`);
    if (delivery === "unmatched") count(this.#verdicts, delivery);
    this.#keys = widened(this.#keys, key);
    count(this.#types, type);
    for (const rule of rules) count(this.#rules, rule);
    if (subject !== null) this.#subjects.add(subject);
  }

  run([id, rule, state, event, subject, createdAt, , listed, version]: RunHeader): void {
    if (this.#isEarlier(event)) this.#earlier.add(`run/${id}`).add(`of/${event}`);
    else this.#ids = widened(this.#ids, id);
    this.#ended.add(id);
    count(this.#versions, version);
    if (subject !== null) this.#subjects.add(subject);
    if (listed === 0) return;
    this.#listed.push({ id, createdAt });
    let states = this.#states.get(rule);
    if (states === undefined) this.#states.set(rule, states = new Map());
    count(states, state);
  }

  more([of, id]: MoreHeader, text: Text): void {
    if (of === "event") this.#amend(id, text);
    if (of === "event" ? this.#isEarlier(id) : !this.#ended.has(id)) this.#earlier.add(`more/${id}`);
  }

  /** @param rest fields that are known after the file is made */
  finish(rest: Pick<Catalogue, "first" | "last" | "file" | "bytes" | "thinned">): Catalogue {
    const isMany = hasMany(this.#states.keys());
    return {
      ...rest,
      events: {
        count: this.#events,
        keys: this.#keys,
        types: countsOf(this.#types),
        rules: countsOf(this.#rules),
        verdicts: countsOf(this.#verdicts),
        late: this.#late,
      },
      runs: {
        count: this.#ended.size,
        ids: this.#ids,
        spans: spansOf(this.#listed),
        rules: isMany
          ? "many"
          : Object.fromEntries([...this.#states].map(([rule, states]) => [rule, Object.fromEntries(states)])),
        versions: countsOf(this.#versions),
      },
      subjects: Bloom.of(this.#subjects, SUBJECT_BITS).toData(),
      earlier: Bloom.of(this.#earlier, EARLIER_BITS).toData(),
    };
  }

  #amend(key: number, text: Text): void {
    for (const kind of verdictKinds(text)) {
      if (!this.#isEarlier(key)) count(this.#verdicts, kind);
      else if (this.#late.length < MOST_LATE) this.#late.push([key, kind]);
    }
  }

  /** Whether an event is in an earlier segment. Keys ascend, so the first key of this segment decides. */
  #isEarlier(event: number): boolean {
    return this.#keys === null || event < this.#keys[0];
  }
}

function count<K>(counts: Map<K, number>, name: K): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function widened<T>(range: [T, T] | null, value: T): [T, T] {
  if (range === null) return [value, value];
  return [value < range[0] ? value : range[0], value > range[1] ? value : range[1]];
}

function countsOf(counts: Map<string, number>): Counts {
  return hasMany(counts.keys()) ? "many" : Object.fromEntries(counts);
}

function hasMany(names: Iterable<string>): boolean {
  let [number, characters] = [0, 0];
  for (const name of names) {
    number++;
    characters += name.length;
    if (number > MOST_NAMES || characters > MOST_CHARACTERS) return true;
  }
  return false;
}

/** Splits the runs, by age, at the longest gaps without a new run: this separates runs that began days ago from the others. */
function spansOf(runs: { id: string; createdAt: number }[]): [string, string][] {
  if (runs.length === 0) return [];
  runs.sort((a, b) => a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
  const gaps = runs.slice(1).map(({ createdAt }, at) => ({ at: at + 1, gap: runs[at].createdAt - createdAt }));
  const cuts = gaps.sort((a, b) => b.gap - a.gap).slice(0, MOST_SPANS - 1).map(({ at }) => at).sort((a, b) => a - b);
  return [0, ...cuts].map((from, index) => [runs[(cuts[index] ?? runs.length) - 1].id, runs[from].id]);
}

/**
 * A catalogue with its queries. Each `mayHave` can have false positives, but no false negatives.
 *
 * A part also has records that belong to events and runs of earlier segments: runs of an older event, retried runs, and
 * amendments. These are in the filter `earlier`: `run/<id>` of such a run, `of/<key>` of its event, `more/<id or key>`.
 */
export class Part {
  readonly catalogue: Catalogue;
  /** Late verdicts by kind, once a search has read them; see {@link hasMoreLate}. */
  readonly late = new Map<string, number[]>();
  #subjects: Bloom | undefined;
  #earlier: Bloom | undefined;

  constructor(catalogue: Catalogue) {
    this.catalogue = catalogue;
  }

  /** An upper bound of the newest run before an id; `before` itself if that is within a span. */
  newestRunBefore(before: string | undefined): string {
    const { spans } = this.catalogue.runs;
    const span = spans.find(([oldest]) => before === undefined || oldest < before);
    if (span === undefined) return "";
    return before !== undefined && span[1] > before ? before : span[1];
  }

  mayHaveEvent(key: number): boolean {
    const { keys } = this.catalogue.events;
    return keys !== null && keys[0] <= key && key <= keys[1];
  }

  /** Whether a run ended here, listed or not. */
  mayHaveRun(id: string): boolean {
    const { ids } = this.catalogue.runs;
    return ids !== null && ids[0] <= id && id <= ids[1] || this.#mayHaveEarlier(`run/${id}`);
  }

  /** Whether a run that used this version of its rule ended here. */
  mayHaveVersion(version: string): boolean {
    return mayCount(this.catalogue.runs.versions, version);
  }

  /** Whether there are amendments of a run or event whose own record is in an earlier part. */
  mayHaveMore(id: string | number): boolean {
    return this.#mayHaveEarlier(`more/${id}`);
  }

  /** @param newerThan only runs newer than this id count */
  mayHaveRuns({ rule, state, event, subject, before, after: from = "" }: RunFilter, newerThan = from): boolean {
    const { spans, rules } = this.catalogue.runs;
    const after = newerThan > from ? newerThan : from;
    if (!spans.some(([oldest, newest]) => newest > after && (before === undefined || oldest < before))) return false;
    if (event !== undefined && !this.mayHaveEvent(event) && !this.#mayHaveEarlier(`of/${event}`)) return false;
    if (rules !== "many") {
      const counts = rule === undefined ? Object.values(rules) : Object.hasOwn(rules, rule) ? [rules[rule]] : [];
      if (!counts.some((states) => state === undefined || states[state])) return false;
    }
    return this.#mayHaveSubject(subject);
  }

  /** @param late keys of earlier events that have got the verdict of the filter since */
  mayHaveEvents({ type, rule, subject, verdict, cause, before, after }: EventFilter, late: number[] = []): boolean {
    const { keys, types, rules, verdicts } = this.catalogue.events;
    if (keys === null || before !== undefined && keys[0] >= before || after !== undefined && keys[1] <= after) {
      return false;
    }
    if (verdicts !== undefined) {
      if (cause !== undefined && !this.#mayHaveSubject(`cause/${cause}`)) return false;
      if (!mayCount(verdicts, verdict) && !late.some((key) => this.mayHaveEvent(key))) return false;
    }
    return mayCount(types, type) && mayCount(rules, rule) && this.#mayHaveSubject(subject);
  }

  /** Whether its catalogue may not list all late verdicts: there were too many. */
  hasMoreLate(): boolean {
    return (this.catalogue.events.late ?? []).length >= MOST_LATE;
  }

  mayHaveAwaited({ types, after }: AwaitedSearch): boolean {
    const { keys, types: known } = this.catalogue.events;
    if (keys === null || keys[1] <= after) return false;
    return known === "many" || Object.keys(known).some((type) => types.some((pattern) => isOfType(type, pattern)));
  }

  #mayHaveSubject(subject: string | undefined): boolean {
    return subject === undefined || (this.#subjects ??= Bloom.from(this.catalogue.subjects)).mayHave(subject);
  }

  #mayHaveEarlier(what: string): boolean {
    return (this.#earlier ??= Bloom.from(this.catalogue.earlier)).mayHave(what);
  }
}

/** Whether a type matches a pattern (`order.paid`, `order.*`, `*`). */
export function isOfType(type: string, pattern: string): boolean {
  if (pattern === "*") return true;
  return pattern.endsWith(".*") ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

function mayCount(counts: Counts, name: string | undefined): boolean {
  return counts === "many" || name === undefined || Object.hasOwn(counts, name);
}
