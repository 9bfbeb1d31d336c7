import type { RecordedError } from "./errors.ts";
import type { Event } from "./event.ts";
import type { Json } from "./json.ts";

/** One rule's answer to one event. */
export interface Run {
  id: string;
  rule: string;
  version: string;
  /** The trigger whose event it answers. */
  trigger: string;
  event: Event;
  state: RunState;
  /** What it is waiting for, in a few words, where the state is `queued` or `waiting`. */
  waitingFor?: string;
  /** What its steps wait for, where the state is `queued`, `running` or `waiting`. */
  waits?: StepWait[];
  /** When a held, retried or waiting run goes on by itself; milliseconds since the epoch. */
  due?: number;
  key?: string;
  createdAt: number;
  startedAt?: number;
  endedAt?: number;
  /** Milliseconds spent running, waits excluded, up to the last time it was suspended or ended. */
  spent: number;
  error?: RecordedError;
  /** What a TypeScript `then` returned, or the reason given to `stop`. */
  output?: Json;
  /** The run that this one replays. */
  replayOf?: string;
}

/** What one step of a run waits for. */
export interface StepWait {
  step: string;
  kind: "time" | "event" | "form";
  /** In a few words: `payment.received with data.id "A1"`, `form "Refund 250 EUR?" for finance, cfo`. */
  what: string;
  /** Until when at the latest; milliseconds since the epoch. */
  until?: number;
  since: number;
}

export type RunState = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";

/** A sentence's part about a run: `it has failed`. */
export function describeState(state: RunState): string {
  if (state === "succeeded" || state === "failed") return `it has ${state}`;
  return state === "cancelled" ? "it was cancelled" : `it is ${state}`;
}

/** True for the states that a run never leaves. */
export function isFinal(state: RunState): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

/**
 * What is recorded of one step of a run. Its `path` is its id below those of the steps around it: `notify`,
 * `check/then/tell`, `lines[3]/save`. A step whose state is final is never computed again.
 */
export interface StepRecord {
  path: string;
  kind: string;
  state: StepState;
  /** Attempts so far; the one in progress included. */
  attempts: number;
  startedAt: number;
  endedAt?: number;
  /** What the step was asked to do, templates resolved; expressions that read secrets stay what they are. */
  input?: Json;
  output?: Json;
  error?: RecordedError;
  /** When it is attempted again, or its wait ends; milliseconds since the epoch. */
  due?: number;
  /**
   * TypeScript only: the path of the step that had ended, alone in its scope, when this one was asked for ("" for the
   * first one). A replay has to ask for them in this order. Absent where branches ran side by side.
   */
  after?: string;
}

export type StepState = "retrying" | "waiting" | "succeeded" | "failed" | "skipped" | "cancelled";

/** True for the states in which a step is never performed again. */
export function isFinalStep(state: StepState): boolean {
  return state !== "retrying" && state !== "waiting";
}

/** The path in a trace under which a function `if` is recorded. */
export const CONDITION_STEP = "if";

/** The path under which the failure that a rule's `onError` answers is recorded; its steps stand below. No step has it. */
export const ON_ERROR_STEP = "rule.onError";
