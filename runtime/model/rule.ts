import type { Rate } from "./duration.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Position } from "./problem.ts";

/**
 * One checked rule file: `when`, `if`, `then`. Plain data, so that a version can be kept in the store and outlive
 * its file. Only the checker creates it; all later code trusts the type.
 */
export interface Rule {
  /** The file's path in the folder without extension, or its `id:`. */
  id: string;
  name?: string;
  /** Path relative to the rules folder, with forward slashes. */
  file: string;
  language: "yaml" | "typescript";
  /** Hash of the file, of everything that it imports or calls, and of its config. A run stays on the version it started with. */
  version: string;
  enabled: boolean;
  /** One trigger for each entry under `when`. */
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
  /** Runs above it are delayed; null is `limit: none`. */
  limit: Rate | null;
  onError: Step[];
  /** The steps, or a TypeScript function. */
  then: Step[] | "function";
  /** The config values in force. */
  config: JsonObject;
  /** By config field: the hosts that its value may name, where a request goes to; absent if no field limits them. */
  hosts?: Record<string, string[]>;
  /** What it is started with; absent if it declares none. */
  inputs?: Record<string, Field>;
  /** The YAML actions that it calls, directly or indirectly, by path relative to the folder. */
  actions: Record<string, CalledAction>;
  /** The commands that it calls, directly or through actions, by path relative to the folder; absent if there are none. */
  commands?: Record<string, Command>;
  /** Of the rule that starts a command by itself: the command's path. Other rules do not have it. */
  command?: string;
  /** Of the rule that sends a task of a fleet by hand: the fleet's id. Other rules do not have it. */
  fleet?: string;
  /** The sources and actions that it uses, by {@link definitionKey}; absent if there are none. */
  definitions?: Record<string, Definition>;
  /** Bundled ESM: under `""` the rule itself if it is TypeScript; else by path the modules that `call:` names; see {@link Target}. */
  modules: Record<string, string>;
}

export type Mode = "parallel" | "queued" | "single" | "restart";

/** One CEL condition with its position. */
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
  /** The entry parsed by the kind's schema. Templates with secrets are still unresolved. */
  args: JsonObject;
  /** What it gives for the rule's inputs; templates are resolved when it emits. */
  inputs?: JsonObject;
  /** If set, its events are collected, and a run gets them together. */
  batch?: Batch;
}

/** When a batch closes: one of `every`, `quiet` and `cron` is set. Times in milliseconds. */
export interface Batch {
  /** After its first event. */
  every?: number;
  /** After its last event. */
  quiet?: number;
  /** With `quiet`: after its first event at the latest. */
  within?: number;
  cron?: string;
  timezone?: string;
  /** True if an occurrence of the cron starts a run even without events. */
  empty: boolean;
  /** It closes early with this many events. */
  max: number;
}

/** One entry under `then`, checked by its kind's module. */
export interface Step {
  /** Unique among its siblings; if the file sets none, its kind, then `kind#2`. */
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
  /** The main argument (under the kind's own name) and the options, parsed by the kind's schema; templates unresolved. */
  args: JsonObject;
  /** The numbers and booleans under `with` as they are written in YAML, by path joined with `/`: inputs that are text count so. */
  written?: Record<string, string>;
  /** The nested lists of steps: `then` and `else` of an `if`. */
  children: Record<string, Step[]>;
}

export interface RetryPolicy {
  /** Total attempts, including the first one. */
  attempts: number;
  /** Milliseconds before the second attempt; doubled each time, with jitter. */
  delay: number;
  /** The longest delay in milliseconds. */
  max: number;
}

/** A YAML file with `inputs` and `then` but no `when`: a building block that rules `call:`. */
export interface CalledAction {
  inputs: Record<string, Field>;
  then: Step[];
  /** CEL; absent means the result is null. */
  output?: string;
}

/** A source, an action or a platform, as its code declares it with `source()`, `action()` or `device()`. */
export interface Definition {
  kind: "source" | "action" | "device";
  inputs: Record<string, Field>;
  /** CEL over `item`: the identity of an item, and when it was last changed. */
  key?: string;
  at?: string;
  ignore?: string[];
  /** The most items that one poll may return. */
  max?: number;
  /** Its functions. */
  methods: ("read" | "one" | "update" | "listen" | "run" | "init" | "ping" | "stop" | "info")[];
  /** The tasks of a platform, by name. */
  tasks?: Record<
    string,
    { title?: string; help?: string; inputs: Record<string, Field>; max?: number; timeout?: number }
  >;
}

/** The types of fields, with those that the items of a list can have. */
export const FIELD_TYPES = [
  "text",
  "number",
  "integer",
  "boolean",
  "choice",
  "list",
  "duration",
  "date",
  "email",
  "url",
  "ip",
  "port",
  "path",
  "secret",
  "file",
] as const;

/** One field of `config`, of a form, or of the `inputs` of a rule, an action or a command. */
export interface Field {
  type: typeof FIELD_TYPES[number];
  title?: string;
  help?: string;
  default?: Json;
  required: boolean;
  /** A value is one of these. For a secret: names of secrets. */
  choices?: Json[];
  min?: number;
  /** For a file: its most bytes. */
  max?: number;
  /** A regular expression that matches the whole text. */
  pattern?: string;
  /** For text in a form: how many lines to show. */
  lines?: number;
  /** For a list: what its items are; absent means anything. */
  of?: ItemField;
  /** For a path: the absolute folder that it is in; absent means a relative path. */
  under?: string;
  /** For an address or a host: the only hosts that it may name, with the port if it is not 443. */
  hosts?: string[];
  /** What must be set beside it. */
  requires?: Requirement[];
  /** What must not be set beside it. */
  conflicts?: string[];
  /** The groups that it belongs to; exactly one field of each group is set. */
  oneOf?: string[][];
}

/** The items of a list. */
export type ItemField = Pick<Field, "type" | "choices" | "min" | "max" | "pattern" | "under" | "hosts">;

/** A field by name, or at least one of several. */
export type Requirement = string | { any: string[] };

/** A command file: a program and its inputs, including those of the command that it is based on. */
export interface Command {
  /** The file's path in the folder without extension. */
  id: string;
  /** Path relative to the rules folder, with forward slashes. */
  file: string;
  /** Of the value of `command:`. */
  at: Position;
  name?: string;
  help?: string;
  /** A program in PATH, an absolute path, or a path relative to the rules folder that begins with a dot. */
  program: string;
  version?: VersionCheck;
  /** By flag or word, as declared. */
  inputs: Record<string, CommandInput>;
  /** What callers may set, in the order of argv; absent means all that is not fixed. */
  only?: string[];
  /** What is always set, as a list of pairs, because its order is that of argv. */
  fixed: [name: string, value: Json][];
  /** Put before the arguments that come last, such as `--`. */
  end?: string;
  /** Whether it runs as root. */
  root: boolean;
  /** Whether inputs that the given ones require are added automatically. */
  complete: boolean;
}

/** The version that a program has to have. */
export interface VersionCheck {
  /** Such as `8.5` or `>=7.9 <9`. */
  is: string;
  /** The arguments with which the program prints its version. */
  by: string[];
}

/** An input of a command: a field, and how its value is written in argv. */
export interface CommandInput extends Field {
  /** Whether only root can use it. */
  root?: boolean;
  /** The flag also stands alone, without a value. */
  value?: "optional";
  /** Between the flag and its value; a blank makes two arguments. */
  join?: " " | "=" | "";
  /** Before or after all others, without its flag. */
  position?: "first" | "last";
  /** Directly after or before another input, if that one is set. */
  after?: string;
  before?: string;
  /** How a list is written: an argument for each item, or one with commas. */
  each?: "repeat" | ",";
  /** For a secret: `file`, `stdin`, or `env NAME`. */
  pass?: string;
  /** Further data from OTO's export. */
  "x-oto"?: JsonObject;
}
