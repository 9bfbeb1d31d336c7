import type { DeliveryVerdict, Event, Verdict, VerdictKind } from "../model/event.ts";
import type { Run, RunState, StepRecord } from "../model/run.ts";
import type { Note, RunEnd } from "./run_changes.ts";
import type { EventIdentity } from "./intake.ts";

/** The limits of a listing: see {@link Found}. */
export interface Paging {
  limit: number;
  /** Only rows older than this id or key. */
  before?: string;
  /** Only rows newer than this id or key. */
  after?: string;
  /** Milliseconds since the epoch: only rows created or received since then. */
  from?: number;
  /** Only rows created or received before then. */
  to?: number;
  /** About how many parts of history (6 MB each) may be read for it. @default all */
  parts?: number;
}

/** Which runs to list. */
export interface RunSearch extends Paging {
  rule?: string;
  state?: RunState;
  /** The subject of their event. */
  subject?: string;
  event?: EventIdentity;
  /** Only runs with waits, which are in {@link Run.waits}. */
  waiting?: boolean;
  /** Only these. Not together with times and cursors. */
  ids?: string[];
}

/** A few facts about a run. */
export interface RunHead extends Pick<Run, "id" | "rule" | "state" | "createdAt"> {
  /** The subject of its event. */
  subject?: string;
}

/** Which events to list. */
export interface EventSearch extends Paging {
  type?: string;
  /** With a verdict of this rule. */
  rule?: string;
  subject?: string;
  /** With a verdict of this kind (of `rule`, if that is set), or `unmatched`. */
  verdict?: VerdictKind | "unmatched";
  /** With this text in the event or its verdicts as first recorded; upper and lower case differ. */
  text?: string;
  /** Caused by this run. */
  cause?: string;
  /** Masks secrets, in which `text` must not be found: a search could guess them character by character. */
  mask?: (text: string) => string;
  /** With this id, from any source. */
  id?: string;
}

/** Rows of a listing. */
export interface Found<T> {
  rows: T[];
  /** Set if the search ended early, at its limit of parts: pass this as `before` to continue. */
  stoppedAt?: string;
}

/** A run with the records of its steps. */
export interface Trace {
  run: Run;
  steps: StepRecord[];
  /** Other events of the run: delayed by the limit, replayed, cancelled by whom. */
  notes: Note[];
}

/** An accepted event with its verdicts. */
export interface EventRecord {
  /** Sorts by arrival; the value for `before`. */
  key: string;
  /** After retention has dropped its body, `data` is null and `http` absent. */
  event: Event;
  receivedAt: number;
  deliveries: number;
  delivery: Exclude<DeliveryVerdict, "duplicate">;
  verdicts: { rule: string; trigger: string; verdict: Verdict }[];
  /** The waits of runs that it ended, if these are still stored. */
  ended: { rule: string; run: string; step: string }[];
}

/** How the runs of a rule ended. The numbers never fall: a run that is retried counts each time it ends. */
export interface RuleEnds {
  runs: Record<RunEnd["state"], number>;
  /** When one last succeeded; milliseconds since the epoch. */
  succeededAt?: number;
}

export interface StoreStats {
  events: number;
  identities: number;
  runs: number;
  /** Bytes of live state. */
  bytes: number;
  /** Bytes of history on disk. */
  historyBytes: number;
  /** Bytes of the log that is not folded yet. */
  journalBytes: number;
}
