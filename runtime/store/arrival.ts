import type { Event } from "../model/event.ts";
import type { Repeatable } from "../model/repeatable.ts";
import type { Json } from "../model/json.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { DeliveryVerdict, Verdict } from "../model/verdict.ts";

export interface EventIdentity {
  source: string;
  id: string;
}

/** A trigger's ids: its cursors and timers belong to these, not to a file's contents. */
export interface TriggerKey {
  rule: string;
  trigger: string;
}

/** One delivery of an event, with every rule that it concerns. */
export interface Arrival {
  event: Event;
  candidates: Candidate[];
  /** Identity retention where a webhook says `within`, in milliseconds. */
  within?: number;
}

/** A rule that listens to the event, and what ingest found out about it. */
export interface Candidate {
  rule: string;
  version: string;
  trigger: string;
  /** Decided already (`condition`, `disabled`, `looped`, `error`), to be collected, or to be admitted by mode, key and limit. */
  outcome: Verdict | Collection | Admission;
}

/** What the store needs to collect an event in the open batch of its trigger and key, or to open one. */
export interface Collection {
  kind: "collect";
  key: string | null;
  terms: BatchTerms;
}

/** When a batch closes: at the first of these times. Milliseconds. */
export interface BatchTerms {
  /** After its first event. */
  within?: number;
  /** After its last event. */
  quiet?: number;
  /** The next occurrence of a cron. */
  at?: number;
  /** With so many events it closes early. */
  max: number;
  /** One is always open, and closes without events, too. */
  empty: boolean;
  /** The trigger's options as text. A batch that was opened by others never closes later than it would have by those. */
  options: string;
}

/** A batch whose time has come. */
export interface DueBatch extends TriggerKey {
  id: string;
  closesAt: number;
}

/** How a batch closes, by its rule as it is at that moment. */
export interface BatchClosing {
  batch: string;
  version: string;
  /** Its key is the batch's. */
  admission: Omit<Admission, "key">;
  /** The occurrence of a cron at which it closes. */
  scheduled?: number;
  /** The terms of the next one, where one is always open. */
  next?: BatchTerms;
}

/** What the store needs to admit a run: started, held above the limit, queued behind its key, or busy. */
export interface Admission {
  kind: "admit";
  mode: "parallel" | "queued" | "single" | "restart";
  key: string | null;
  max: number;
  limit: { count: number; per: number } | null;
  /** True where a function `if` is asked first; mode, key and limit are then claimed with its answer. */
  asksFirst: boolean;
}

export interface Receipt {
  event: EventIdentity;
  delivery: DeliveryVerdict;
  verdicts: { rule: string; trigger: string; verdict: Verdict }[];
  /** Ids of the runs made, in the candidates' order; those of the first delivery for a duplicate. */
  runs: string[];
  /** Running runs that mode `restart` replaces; the runner ends them, then the new one starts. */
  replaces: string[];
  /** Runs whose wait this event ended, waiting or running: the runner looks at them again. */
  wakes: string[];
  /** Those of `runs` that were claimed at once, where a lease was given. */
  claimed?: ClaimedRun[];
  /** For a duplicate, the reply recorded so far. */
  reply?: Reply;
}

/** Who claims runs, and how many at most. */
export interface Lease {
  owner: string;
  max: number;
}

/** A run that is `running` from here on, leased to who claimed it. */
export interface ClaimedRun {
  run: Run;
  steps: StepRecord[];
  /** True where the function `if` has to be asked before anything else. */
  asksFirst: boolean;
  /** True where it was running before: it is attempted again from behind its last recorded step. */
  again: boolean;
  /** How often a watchdog ended its worker; such a run is attempted alone. */
  alone: number;
}

/** A trigger's progress, written in the same transition as its events. */
export interface Progress extends TriggerKey {
  /** The new mark: a cron's last occurrence, a poll's cursor and validators. Null removes it. */
  mark?: Json;
  /** Changes of the baseline. `clear` empties it first. */
  baseline?: { clear?: boolean; put: [key: string, item: Json][]; remove: string[] };
}

/** What a webhook answers. */
export interface Reply {
  status: number;
  headers: Record<string, Repeatable>;
  /** Text, or base64 where `binary`. */
  body: string;
  binary?: boolean;
}
