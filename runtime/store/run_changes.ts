import { writeExactJson } from "../formats/exact_json.ts";
import type { RecordedError } from "../model/errors.ts";
import type { Verdict } from "../model/event.ts";
import type { Form } from "../model/form.ts";
import type { Json } from "../model/json.ts";
import type { RunState, StepRecord } from "../model/run.ts";
import type { Patched, Reply } from "./intake.ts";

/** A person's decision to act on a run. */
export interface Decision {
  by: string;
  /** Why, in their words. */
  reason?: string;
  /** The bulk action that it is part of: its number, and how many runs that is about. */
  bulk?: { id: string; runs: number };
}

/** The person who acts, or their whole decision. */
export type By = string | Decision;

/** A decision, also if only the person's name is given. */
export function decisionOf(by: By): Decision {
  return typeof by === "string" ? { by } : by;
}

/** The outcome of an operator's request: done, and on which step, or the reason why not. */
export type Operated = { kind: "done"; step?: string } | Refused;

/** A run that was to be cancelled. */
export interface Cancelled {
  kind: "asked";
  /** Its current state. If it is `running`, the runner has to end it. */
  state: RunState;
  /** Whether this ended it. */
  ended: boolean;
  /** If it is running in another replica: that one, which was asked to end it and will. */
  owner?: string;
}

/** Nothing was done, and why. */
export interface Refused {
  kind: "refused";
  reason: string;
}

export function refused(reason: string): Refused {
  return { kind: "refused", reason };
}

/** The state of a run that a person saw and decided on. If the run has changed since, their request is refused. */
export interface Seen {
  /** How many notes of people's actions it had. */
  actions: number;
  /** Whether it had ended. */
  ended: boolean;
  /** Since when the step to be skipped has waited; milliseconds since the epoch. */
  since?: number;
}

/** One line of a trace besides its steps. */
export interface Note {
  at: number;
  text: string;
  /** The person who did it; absent if the program did. */
  by?: string;
  /** Why, in that person's words. */
  reason?: string;
  bulk?: Decision["bulk"];
}

/** Changes that are written together with a step's record. */
export interface StepEffects {
  /** Sets a value of the memory across runs; the previous value becomes the record's output. */
  state?: { key: string; value: Json; ttl?: number };
  reply?: Reply;
  /** What a `patch` has written: goes into the baseline of its poll. */
  patched?: Patched;
  /** For a record that is `waiting`: what ends it besides its `due`. Replaces an earlier wait. */
  wait?: Wait;
  /**
   * Paths of branches that lost against this one. Steps below them that have not ended become `cancelled`, and their waits end.
   * A later result from there is dropped; its record stays `cancelled`.
   */
  cancels?: string[];
  /** The run ends with this record, as by `finishRun`. */
  end?: RunEnd;
}

/**
 * The wait of a step. An event wait also searches the events accepted since its run began, oldest first, each at most
 * once per run; if one matches, the returned record has succeeded with it. `match`: paths in the event (`data.id`) and the
 * values required there. Types may be patterns: `order.*`. A form expires at its own `due`; later answers are not accepted. The
 * record's `due` is when the step checks again, for example to send a reminder.
 */
export type Wait =
  | { kind: "time" }
  | { kind: "event"; types: string[]; match: Record<string, Json> }
  | { kind: "form"; form: Pick<Form, "id" | "title" | "to" | "fields" | "due"> };

/** The current form; `accepted` if this answer ended it, else it was no longer open. */
export interface AnsweredForm {
  form: Form;
  accepted: boolean;
}

/** The outcome of an answered condition. */
export interface Answered {
  verdict: Verdict;
  /** As in {@link Receipt}: running runs that mode `restart` replaces. */
  replaces: string[];
  /** As in {@link Receipt}: other runs that it replaced. */
  replaced?: string[];
}

/** The outcome of recording a step. */
export interface StepResult {
  /**
   * The record as stored. If an event, an answer or an operator ended the wait meanwhile, or its branch lost and was cancelled,
   * that earlier record stays.
   */
  record: StepRecord;
  /** True if the run had already ended: a late result is dropped with its effects. */
  dropped?: boolean;
  /** False if a reply was already recorded for the event: the first one counts. */
  replied?: boolean;
  /** True if the run ended with it. It does not end if an earlier record or reply counts. */
  ended?: boolean;
}

/** How a run is suspended. */
export interface Suspension {
  state: "waiting" | "queued";
  waitingFor: string;
  due?: number;
  /** Total running time in milliseconds. */
  spent: number;
  /** Set if a watchdog ended it: the next attempt is alone. */
  alone?: number;
}

/** How a run ends. */
export interface RunEnd {
  state: "succeeded" | "failed" | "cancelled";
  error?: RecordedError;
  output?: Json;
  /** The path of the step that failed it; absent if no step did, as with a throw between two steps. */
  failedStep?: string;
  spent: number;
}

/** The part of a wait that people are shown. */
export type Awaited =
  | { kind: "time" }
  | { kind: "event"; types: string[]; match: Record<string, Json> }
  | { kind: "form"; form: Pick<Form, "title" | "to"> };

/** Describes briefly what a step waits for: `payment.received with data.id "A1"`, `form "Refund?" for finance, cfo`. */
export function describeWait(wait: Awaited): string {
  switch (wait.kind) {
    case "time":
      return "a time";
    case "event": {
      const values = Object.entries(wait.match).map(([path, value]) => `${path} ${writeExactJson(value)}`);
      return wait.types.join(" or ") + (values.length > 0 ? ` with ${values.join(", ")}` : "");
    }
    case "form":
      return `form ${JSON.stringify(wait.form.title)} for ${wait.form.to.join(", ")}`;
  }
}
