// Made by `deno task sdk` from the tables of triggers and actions: edit those.
import type { Duration } from "../durations.ts";
import type { TriggerOptions } from "../trigger_definition.ts";

/** The kinds of actions. */
export const ACTIONS = ["http", "run", "call", "emit", "log", "mail", "patch", "reply", "state", "task"] as const;

/** The options of every trigger. */
export const TRIGGER_OPTIONS: readonly string[] = ["name", "if", "batch", "inputs"];

/** The options of a poll, besides those of every trigger. */
export const POLL_OPTIONS: readonly string[] = [
  "every",
  "headers",
  "auth",
  "items",
  "key",
  "on",
  "ignore",
  "first",
  "format",
  "charset",
  "take",
  "max",
  "at",
  "stagnant",
  "hook",
  "one",
  "update",
  "pages",
];

export type Format =
  | "json"
  | "feed"
  | "xml"
  | "csv"
  | "lines"
  | "text"
  | "base64"
  | { csv: CsvOptions }
  | { xml: XmlOptions };

export type RequestAuth = { bearer: string } | { basic: string } | { connection: string };

export type WebhookAuth =
  | "none"
  | "standard"
  | "github"
  | "gitlab"
  | "stripe"
  | "slack"
  | "shopify"
  | "telegram"
  | "asana"
  | "basic"
  | "bearer"
  | { token: string }
  | {
    hmac: "sha256" | "sha1" | "sha512";
    header: string;
    encoding?: "hex" | "base64";
    prefix?: string;
    signed?: string;
    timestamp?: string;
    tolerance?: Duration;
  };

/** Options of a format. */
export interface CsvOptions {
  /** What separates values; by default the header row shows it. */
  delimiter?: string;
  /** The quotation mark; false: there is none. */
  quote?: string | false;
  /** Whether the first row names the columns; by default true. */
  header?: boolean;
  /** Names that the header row must have; without a header row, those of the columns. */
  columns?: readonly string[];
  /** How many lines there are before the table. */
  skip?: number;
  /** Takes rows of any length, and quotation marks inside values. */
  relaxed?: boolean;
}

/** Options of a format. */
export interface XmlOptions {
  /** Names of elements that are always a list, even if there is only one. */
  lists?: readonly string[];
}

/** Options of every step. */
export interface StepOptions {
  /** For one attempt. */
  timeout?: Duration;
  /** The number of attempts, or the whole policy. */
  retry?: number | { attempts?: number; delay?: Duration; max?: Duration };
}

/** Emits at the times of a cron pattern. */
export interface CronOptions extends TriggerOptions {
  /** By default the variable TZ, else UTC. */
  timezone?: string;
  /** What happens to occurrences that fell due while the program was down. @default "last" */
  missed?: "skip" | "last" | "all";
  /** How late a missed occurrence may still fire. @default "1h" */
  window?: Duration;
}

/** Emits at an interval, the first time one interval after the rule is first loaded. */
export interface EveryOptions extends TriggerOptions {
  /** What happens to occurrences that fell due while the program was down. @default "last" */
  missed?: "skip" | "last" | "all";
}

/** Listens on a path below /hooks. */
export interface WebhookOptions extends TriggerOptions {
  /** How the sender is authenticated. */
  auth: WebhookAuth;
  /** Names of the secrets, several during a rotation; never a value. */
  secret?: string | readonly string[];
  /** One or several; GET answers HEAD, too. @default "POST" */
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | readonly ("GET" | "POST" | "PUT" | "PATCH" | "DELETE")[];
  /** Origins whose pages may send from a browser, such as https://app.example.org; * for all. */
  cors?: string | readonly string[];
  /** CEL over the event; equal values are one event. */
  dedupe?: string;
  /** How long dedupe remembers a value. */
  within?: Duration;
  /** How long to wait for the rule's reply. @default "10s" */
  replyWithin?: Duration;
  /** The largest body that is accepted. @default 1000000 */
  maxBody?: string | number;
}

/** Polls a URL or a step, and emits what changed. */
export interface PollOptions extends TriggerOptions {
  /** How often it looks. @default "5m" */
  every?: Duration;
  /** Request headers, for a URL. */
  headers?: Record<string, string>;
  /** { bearer: token }, { basic: user:password } or { connection: name }. */
  auth?: RequestAuth;
  /** CEL: the list of items in the source's output. */
  items?: string;
  /** CEL over item: the identity of an item. */
  key?: string;
  /** Which changes become events. @default ["added", "changed"] */
  on?: readonly ("added" | "changed" | "removed")[];
  /** Fields whose changes are ignored. */
  ignore?: readonly string[];
  /** Whether the items of the first look count as added. @default "seed" */
  first?: "seed" | "emit";
  /** How the page or the output is read. */
  format?: Format;
  /** The charset of the page or the output, whatever it declares. */
  charset?: string;
  /** Only the first items, silently. */
  take?: number;
  /** The most items of one look, all pages together; more is an error; by default 10000. */
  max?: number;
  /** CEL over item: when it was last changed; an item older than the known one is ignored. */
  at?: string;
  /** Also emits an event of the type stagnant, once, for an item that did not change for so long. */
  stagnant?: Duration;
  /** A webhook whose deliveries make it look at once. */
  hook?: { webhook: string; auth: WebhookAuth; secret?: string | readonly string[] };
  /** The request that reads one item: { http: GET https://example.org/items/${{ key }}, value: body }. */
  one?: Omit<HttpOptions, keyof StepOptions | "save"> & { http: string; value?: string };
  /** The request by which patch changes one item: { http: PATCH https://…/${{ key }}, json: ${{ patch }} }. */
  update?: Omit<HttpOptions, keyof StepOptions | "save"> & { http: string; value?: string };
  /** Where the next page is: CEL over the answer that gives its URL, or null after the last one. */
  pages?: { next: string; max?: number };
}

/** Watches files by a pattern such as ./inbox/*.csv. */
export interface WatchOptions extends TriggerOptions {
  /** Which changes become events. @default ["added", "changed"] */
  on?: readonly ("added" | "changed" | "removed")[];
  /** How long a file must stay unchanged. @default "2s" */
  settle?: Duration;
  /** Whether the files of the first look count as added. @default "emit" */
  first?: "seed" | "emit";
  /** How the content is read. */
  format?: Format;
  /** The charset of the content, whatever it declares. */
  charset?: string;
}

/** Starts the rule by hand: whenthen start, the API, or the page /start. */
export interface ManualOptions extends TriggerOptions {
  /** Who may start it; without it only operators. */
  to?: string | readonly string[];
}

/** Sends an HTTP request. */
export interface HttpOptions extends StepOptions {
  /** The body, as JSON. */
  json?: unknown;
  /** The body, as form fields; a list repeats its field. */
  form?: Record<string, unknown>;
  /** The body, as multipart/form-data: texts, and files that were saved or uploaded; a list repeats its field. */
  multipart?: Record<string, unknown>;
  /** The body, as text. */
  body?: string;
  /** Request headers. */
  headers?: Record<string, string>;
  /** Appended to the URL; a list repeats its name, null leaves it out. */
  query?: Record<string, unknown>;
  /** { bearer: token }, { basic: user:password } or { connection: name }. */
  auth?: RequestAuth;
  /** How the body is parsed, whatever its content type says. */
  format?: Format;
  /** The charset of the body, whatever its content type says. */
  charset?: string;
  /** Saves the body to a file of this name in the run's folder. */
  save?: string;
  /** Statuses besides 2xx that count as success; a redirect listed here is not followed. */
  ok?: readonly number[];
}

/** Runs a command. */
export interface RunOptions extends StepOptions {
  /** Its standard input: text unchanged, anything else as JSON. */
  stdin?: unknown;
  /** Environment variables in addition to the inherited ones. */
  env?: Record<string, string>;
  /** The folder it runs in, relative to this file; by default this file's folder. */
  cwd?: string;
  /** How its standard output is parsed into json. */
  format?: Format;
  /** The charset of its output, if not UTF-8. */
  charset?: string;
  /** Saves its standard output to a file of this name in the run's folder. */
  save?: string;
  /** tail: keeps the end of output over 10 MB instead of failing. */
  keep?: "tail";
  /** Exit codes that count as success; by default 0. */
  ok?: readonly number[];
}

/** Calls a function of a TypeScript file or a package, a YAML action, or a command. */
export interface CallOptions extends StepOptions {
  /** The function's argument, or the inputs of the action or command. */
  with?: Record<string, unknown>;
  /** For code: the connection of the requests that it sends, { connection: name }. */
  auth?: { connection: string };
  /** For a command: its standard input. */
  stdin?: unknown;
  /** How its standard output is parsed into json. */
  format?: Format;
  /** The charset of its output, if not UTF-8. */
  charset?: string;
  /** Saves its standard output to a file of this name in the run's folder. */
  save?: string;
  /** tail: keeps the end of output over 10 MB instead of failing. */
  keep?: "tail";
  /** Exit codes that count as success; by default 0. */
  ok?: readonly number[];
}

/** Sends an event to the rules that listen to its type. */
export interface EmitOptions extends StepOptions {
  /** The event's data. */
  data?: unknown;
  /** The event's subject. */
  subject?: string;
  /** With an expression, the event's identity (by default this run and step); otherwise the step's id. */
  id?: string;
}

/** Writes a line to the program's log. */
export interface LogOptions extends StepOptions {
  /** By default info. */
  level?: "debug" | "info" | "warn" | "error";
  /** Logged with the line. */
  data?: unknown;
}

/** Sends a mail. */
export interface MailOptions extends StepOptions {
  /** By default the rule's id. */
  subject?: string;
  /** The mail as text. */
  text?: string;
  /** The mail as HTML, instead of text or in addition to it. */
  html?: string;
  /** By default from of smtp in whenthen.yaml. */
  from?: string;
  /** Files that were saved or uploaded: the results of steps with save, or event.files.photo. */
  attach?: unknown;
}

/** Changes the item of a poll's event at its source, without an event of its own for that. */
export interface PatchOptions extends StepOptions {
  /** The key of another item; required in batches and each. */
  key?: string;
  /** What to do if somebody changed the same field since the event. @default "fail" */
  ifChanged?: "fail" | "skip" | "overwrite";
}

/** Answers the waiting request of a webhook trigger. */
export interface ReplyOptions extends StepOptions {
  /** The body, as JSON. */
  json?: unknown;
  /** The body, as text. */
  body?: string;
  /** Response headers; a list repeats its header, null leaves it out. */
  headers?: Record<string, unknown>;
}

/** Stores a value across runs and returns the previous one; without a value it only reads. */
export interface StateOptions extends StepOptions {
  /** The value to store. */
  value?: unknown;
  /** How long it is kept; by default for ever. */
  ttl?: Duration;
}

/** Sends a task to devices of a fleet. */
export interface TaskOptions extends StepOptions {
  /** The id of the fleet: the path of its file without extension. */
  fleet: string;
  /** Which devices: a name, a list of names, { tags: [press] }, or all. */
  to: unknown;
  /** The inputs of the task. */
  with?: Record<string, unknown>;
  /** How many devices at once; by default 100. */
  max?: number;
  /** For each device; by default that of the task. */
  timeout?: Duration;
  onError?: "stop" | "continue";
}

/** A function for every action. */
export interface ActionCalls {
  http(name: string, http: string, options?: HttpOptions): Promise<unknown>;
  run(name: string, run: string | readonly string[], options?: RunOptions): Promise<unknown>;
  call(name: string, call: string, options?: CallOptions): Promise<unknown>;
  emit(name: string, emit: string, options?: EmitOptions): Promise<unknown>;
  log(name: string, log: string, options?: LogOptions): Promise<unknown>;
  mail(name: string, mail: unknown, options?: MailOptions): Promise<unknown>;
  patch(name: string, patch: Record<string, unknown>, options?: PatchOptions): Promise<unknown>;
  reply(name: string, reply: number, options?: ReplyOptions): Promise<unknown>;
  state(name: string, state: string, options?: StateOptions): Promise<unknown>;
  task(name: string, task: string, options: TaskOptions): Promise<unknown>;
}
