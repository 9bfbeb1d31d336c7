import type { Event, Repeatable } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { DeliveryVerdict, Verdict } from "../model/verdict.ts";

export interface EventIdentity {
  source: string;
  id: string;
}

/** The ids of a trigger. Its cursors and timers belong to these ids, not to the content of a file. */
export interface TriggerKey {
  rule: string;
  trigger: string;
}

/** One delivery of an event, with all rules that listen to it. */
export interface Arrival {
  event: Event;
  candidates: Candidate[];
  /** Identity retention if a webhook sets `within`, in milliseconds. */
  within?: number;
  /** True for an own event; its id is that of its notice. */
  isOwn?: boolean;
}

/** A rule that listens to the event, and the outcome of ingest for it. */
export interface Candidate {
  rule: string;
  version: string;
  trigger: string;
  /** A final verdict (`condition`, `disabled`, `looped`, `error`), or to be collected, or to be admitted by mode, key and limit. */
  outcome: Verdict | Collection | Admission;
}

/** The data to collect an event in the open batch of its trigger and key, or to open one. */
export interface Collection {
  kind: "collect";
  key: string | null;
  terms: BatchTerms;
}

/** When a batch closes: at the earliest of these times. In milliseconds. */
export interface BatchTerms {
  /** After its first event. */
  within?: number;
  /** After its last event. */
  quiet?: number;
  /** The next occurrence of a cron. */
  at?: number;
  /** It closes early with this number of events. */
  max: number;
  /** A batch is always open, and closes even without events. */
  empty: boolean;
  /** The trigger's options as text. A batch opened under other options never closes later than under those. */
  options: string;
}

/** A batch that is due. */
export interface DueBatch extends TriggerKey {
  id: string;
  closesAt: number;
}

/** How a batch closes, according to its rule at that time. */
export interface BatchClosing {
  batch: string;
  version: string;
  /** Its key is the batch's. */
  admission: Omit<Admission, "key">;
  /** The occurrence of a cron at which it closes. */
  scheduled?: number;
  /** The terms of the next batch, if one is always open. */
  next?: BatchTerms;
}

/** The data to admit a run: it starts, is delayed by the limit, is queued behind runs of its key, or is busy. */
export interface Admission {
  kind: "admit";
  mode: "parallel" | "queued" | "single" | "restart";
  key: string | null;
  max: number;
  limit: { count: number; per: number } | null;
  /** The values of the rule's inputs. */
  inputs?: JsonObject;
  /** True if a function `if` runs first; mode, key and limit then apply when it has answered. */
  asksFirst: boolean;
}

export interface Receipt {
  event: EventIdentity;
  delivery: DeliveryVerdict;
  verdicts: { rule: string; trigger: string; verdict: Verdict }[];
  /** Ids of the new runs, in the candidates' order. For a duplicate, those of the first delivery. */
  runs: string[];
  /** Running runs that mode `restart` replaces. The runner ends them, then the new run starts. */
  replaces: string[];
  /** Queued and waiting runs that mode `restart` replaced: they have ended. Absent if there are none. */
  replaced?: string[];
  /** Waiting or running runs with a wait that this event ended: the runner checks them again. */
  wakes: string[];
  /** Those of `runs` that were claimed at once, if a lease was given. */
  claimed?: ClaimedRun[];
  /** For a duplicate, the reply recorded so far. */
  reply?: Reply;
}

/** The owner that claims runs, and how many at most. */
export interface Lease {
  owner: string;
  max: number;
}

/** A claimed run: it is now `running`, leased to its owner. */
export interface ClaimedRun {
  run: Run;
  steps: StepRecord[];
  /** True if the function `if` must run first. */
  asksFirst: boolean;
  /** True if it was running before: it resumes after its last recorded step. */
  again: boolean;
  /** How often a watchdog ended its worker. If ever, the run is attempted alone. */
  alone: number;
}

/** When an item of a baseline last changed. */
export type ItemTime = [key: string, at: number];

/** A trigger's progress, written in the same transition as its events. */
export interface Progress extends TriggerKey {
  /** The new mark: a cron's last occurrence, a poll's cursor and validators. Null removes it. */
  mark?: Json;
  /** Changes of the baseline. `clear` empties it first. `times`: when items last changed, null once that was told. */
  baseline?: {
    clear?: boolean;
    put: [key: string, item: Json][];
    remove: string[];
    times?: [key: string, at: number | null][];
  };
}

/** What a webhook answers. */
export interface Reply {
  status: number;
  headers: Record<string, Repeatable>;
  /** Text, or base64 if `binary`. */
  body: string;
  binary?: boolean;
}
