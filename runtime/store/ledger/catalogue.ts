import type { RunState } from "../../model/run.ts";
import type { BloomData } from "../history/bloom.ts";

/** A summary of a part. It shows whether a query can find anything in the part, without opening it. Plain JSON. */
export interface Catalogue {
  /** The frames of its segment. */
  first: number;
  last: number;
  file: string;
  bytes: number;
  /** How many events and runs the part was thinned to, including those with only amendments here; absent if it was not thinned. */
  thinned?: number;
  events: {
    count: number;
    /** The lowest and the highest key. */
    keys: [number, number] | null;
    types: Counts;
    /** Events with a verdict of that rule. */
    rules: Counts;
    /** Events by the kinds of their verdicts, amendments in this part included, and those `unmatched`. Absent in older parts. */
    verdicts?: Counts;
    /** Amended verdicts of events in earlier parts: the key and the kind, up to a limit. Absent in older parts. */
    late?: [key: number, kind: string][];
  };
  runs: {
    count: number;
    /** The lowest and the highest id of runs whose event is also in this part. */
    ids: [string, string] | null;
    /** Ranges of ids that cover all listed runs, newest first. */
    spans: [string, string][];
    /** Listed runs by rule and state. */
    rules: Record<string, Partial<Record<RunState, number>>> | "many";
    /** Runs by the version of their rule. */
    versions: Counts;
  };
  /** Subjects, and `cause/<run>` of events that a run caused, except in parts without `verdicts`. */
  subjects: BloomData;
  /** Records that belong to earlier parts: see {@link Part}. */
  earlier: BloomData;
}

/** How often each name occurs, or "many" if there are too many names. */
export type Counts = Record<string, number> | "many";
