import type { Rate } from "./duration.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Position } from "./problem.ts";

/**
 * One checked rule file: `when`, `if`, `then`. Plain data, so that a version can be kept in the store and outlive
 * its file. Only the checker makes one; everything behind it trusts the type.
 */
export interface Rule {
  /** The file's path in the folder without extension, or its `id:`. */
  id: string;
  name?: string;
  /** Path relative to the rules folder, with forward slashes. */
  file: string;
  language: "yaml" | "typescript";
  /** Hash of the file, of all that it imports or calls, and of its config. A run stays on the version it started with. */
  version: string;
  enabled: boolean;
  /** One entry for each entry under `when`. */
  triggers: Trigger[];
  /** CEL clauses that must all hold, or a TypeScript function; absent means always. */
  if?: Clause[] | "function";
  /** CEL; runs with equal keys count together for `mode`. */
  key?: string;
  mode: Mode;
  /** How many runs of one key may run at once in mode `parallel`. */
  max: number;
  /** Milliseconds a run may take, waits excluded. */
  timeout: number;
  /** Runs above it are held; null is `limit: none`. */
  limit: Rate | null;
  onError: Step[];
  /** The steps, or a TypeScript function. */
  then: Step[] | "function";
  /** The values in force. */
  config: JsonObject;
  /** The YAML actions that it calls, and those that they call, by path relative to the folder. */
  actions: Record<string, CalledAction>;
  /** Bundled ESM: under `""` the rule itself where it is TypeScript; else by path the modules that `call:` names. */
  modules: Record<string, string>;
}

export type Mode = "parallel" | "queued" | "single" | "restart";

/** One CEL condition with the place where it stands. */
export interface Clause {
  text: string;
  at: Position;
}

/** One entry under `when`, checked by its kind's module. `args` holds the main argument and all options. */
export interface Trigger {
  /** Its `name`, else kind and address, never its position. */
  id: string;
  kind: string;
  at: Position;
  if?: Clause[];
  /** What the kind's schema made of the entry. Templates with secrets are still unresolved in it. */
  args: JsonObject;
  /** Its events are collected, and a run gets them together. */
  batch?: Batch;
}

/** When a batch closes: one of `every`, `quiet` and `cron` is set. Times in milliseconds. */
export interface Batch {
  /** After its first event. */
  every?: number;
  /** After its last event. */
  quiet?: number;
  /** After its first event at the latest, where silence is waited for. */
  within?: number;
  cron?: string;
  timezone?: string;
  /** True where an occurrence of the cron starts a run also without events. */
  empty: boolean;
  /** With so many events it closes early. */
  max: number;
}

/** One entry under `then`, checked by its kind's module. */
export interface Step {
  /** Unique among its siblings; where the file gives none, its kind, then `kind#2`. */
  id: string;
  kind: string;
  at: Position;
  /** CEL; false skips the step and leaves its result null. */
  if?: string;
  /** Milliseconds for one attempt. */
  timeout?: number;
  retry?: RetryPolicy;
  onError?: "continue" | Step[];
  onTimeout?: Step[];
  /** What the kind's schema made of the main argument (under the kind's own name) and the options; templates unresolved. */
  args: JsonObject;
  /** The nested lists of steps: `then` and `else` of an `if`. */
  children: Record<string, Step[]>;
}

export interface RetryPolicy {
  /** In all, the first one included. */
  attempts: number;
  /** Milliseconds before the second attempt; doubled each time, with jitter. */
  delay: number;
  /** Milliseconds that the delay never exceeds. */
  max: number;
}

/** A YAML file with `inputs` and `then` but no `when`: a building block that rules `call:`. */
export interface CalledAction {
  inputs: Record<string, Field>;
  then: Step[];
  /** CEL; absent means the result is null. */
  output?: string;
}

/** One field of `config`, of a form, or of an action's `inputs`. */
export interface Field {
  type: "text" | "number" | "boolean" | "choice" | "duration" | "date" | "email" | "url" | "list";
  title?: string;
  help?: string;
  default?: Json;
  required: boolean;
  choices?: Json[];
  min?: number;
  max?: number;
  /** For text in a form: how many lines to show. */
  lines?: number;
}
