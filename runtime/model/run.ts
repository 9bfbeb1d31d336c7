import type { RecordedError } from "./errors.ts";
import type { Event } from "./event.ts";
import type { Json, JsonObject } from "./json.ts";

/** One rule's answer to one event. */
export interface Run {
  id: string;
  rule: string;
  version: string;
  /** The trigger whose event it answers. */
  trigger: string;
  event: Event;
  /** The values of the rule's inputs, if it declares any. */
  inputs?: JsonObject;
  state: RunState;
  /** A short description of what it waits for, if the state is `queued` or `waiting`. */
  waitingFor?: string;
  /** What its steps wait for, if the state is `queued`, `running` or `waiting`. */
  waits?: StepWait[];
  /** When a delayed, retried or waiting run resumes by itself; milliseconds since the epoch. */
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
  /** A short description: `payment.received with data.id "A1"`, `form "Refund 250 EUR?" for finance, cfo`. */
  what: string;
  /** Until when at the latest; milliseconds since the epoch. */
  until?: number;
  since: number;
}

export type RunState = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";

/** A clause about a run's state: `it has failed`. */
export function describeState(state: RunState): string {
  if (state === "succeeded" || state === "failed") return `it has ${state}`;
  return state === "cancelled" ? "it was cancelled" : `it is ${state}`;
}

/** True for the states that a run never leaves. */
export function isFinal(state: RunState): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

/**
 * The record of one step of a run. Its `path` is its id after those of the steps around it: `notify`,
 * `check/then/tell`, `lines[3]/save`. A step with a final state never runs again.
 */
export interface StepRecord {
  path: string;
  kind: string;
  state: StepState;
  /** Attempts so far, including the one in progress. */
  attempts: number;
  startedAt: number;
  endedAt?: number;
  /** The arguments of the step, with templates resolved; expressions that read secrets stay unresolved. */
  input?: Json;
  output?: Json;
  error?: RecordedError;
  /** When it is attempted again, or its wait ends; milliseconds since the epoch. */
  due?: number;
  /**
   * TypeScript only: the path of the step that had ended, alone in its scope, when this one was requested ("" for the
   * first one). A replay must request them in this order. Absent if branches ran in parallel.
   */
  after?: string;
}

export type StepState = "retrying" | "waiting" | "succeeded" | "failed" | "skipped" | "cancelled";

/** True for the states in which a step never runs again. */
export function isFinalStep(state: StepState): boolean {
  return state !== "retrying" && state !== "waiting";
}

/** The path in a trace under which a function `if` is recorded. */
export const CONDITION_STEP = "if";

/** The path of the record of the failure that a rule's `onError` handles; its steps are below. No step can have this path. */
export const ON_ERROR_STEP = "rule.onError";
