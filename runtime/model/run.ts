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

/** The states of a run, in the order in which it may pass through them. */
export const RUN_STATES = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"] as const;

export type RunState = typeof RUN_STATES[number];

/** A clause about a run's state: `it has failed`. */
export function describeState(state: RunState): string {
  if (state === "succeeded" || state === "failed") return `it has ${state}`;
  return state === "cancelled" ? "it was cancelled" : `it is ${state}`;
}

/** True for the states that a run never leaves. */
export function isFinal(state: RunState): state is "succeeded" | "failed" | "cancelled" {
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
  /** When its last attempt began, if that was not the first one. */
  attemptedAt?: number;
  endedAt?: number;
  /** The attempts before the last one, which failed: the first and the last few of them. Absent if there were none. */
  failures?: PastAttempt[];
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

/** An attempt of a step that failed, and after which there was another one. */
export interface PastAttempt {
  /** From 1. */
  attempt: number;
  startedAt: number;
  endedAt: number;
  error: Pick<RecordedError, "name" | "message">;
}

/** Of the attempts of a step, the first and the last ones that are kept; and characters of each one's message. */
const FIRST_ATTEMPTS = 3;
const LAST_ATTEMPTS = 7;
const LONGEST_MESSAGE = 1_000;

/** The failed attempts of a step with its last one, which failed too: at most the first three and the last seven. */
export function withFailure(record: StepRecord, { name, message }: RecordedError, endedAt: number): PastAttempt[] {
  const { failures = [], attempts: attempt, attemptedAt, startedAt } = record;
  const error = { name, message: message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}…` : message };
  const all = [...failures, { attempt, startedAt: attemptedAt ?? startedAt, endedAt, error }];
  if (all.length <= FIRST_ATTEMPTS + LAST_ATTEMPTS) return all;
  return [...all.slice(0, FIRST_ATTEMPTS), ...all.slice(-LAST_ATTEMPTS)];
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

/** The most bytes of JSON that a step's result or arguments may have. Larger ones fail the step: nothing is truncated. */
export const MAX_OUTPUT = 10_000_000;

/** A step of a run, or a branch, turn or list of one, with its children. */
export interface RecordedNode {
  path: string;
  /** The last part of its path: `save`, `[3]`, `then`. */
  name: string;
  /** Absent if it is not recorded, or only its children are. */
  record?: StepRecord;
  children: RecordedNode[];
}

/** The tree of a run's records by their paths, in the order of the records, and its nodes by path. */
export function recordedTree(steps: StepRecord[]): { roots: RecordedNode[]; nodes: Map<string, RecordedNode> } {
  const roots: RecordedNode[] = [];
  const nodes = new Map<string, RecordedNode>();
  const nodeAt = (path: string): RecordedNode => {
    const found = nodes.get(path);
    if (found !== undefined) return found;
    const [parent, name] = splitPath(path);
    const node: RecordedNode = { path, name, children: [] };
    (parent === "" ? roots : nodeAt(parent).children).push(node);
    nodes.set(path, node);
    return node;
  };
  for (const record of steps) nodeAt(record.path).record = record;
  return { roots, nodes };
}

/** The parent of a path, and its last part: `lines[3]` is in `lines`, and `lines[3]/save` in `lines[3]`. */
function splitPath(path: string): [string, string] {
  const slash = path.lastIndexOf("/");
  const bracket = /\[(\d+|items)\]$/.exec(path)?.index ?? -1;
  if (bracket > slash + 1) return [path.slice(0, bracket), path.slice(bracket)];
  return [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
}
