import type { Json } from "../model/json.ts";
import type {
  Change,
  FileChange,
  HttpMethod,
  StandardSchema,
  TypedEvent,
  TypeOnly,
  WebhookAuth,
  WebhookEvent,
} from "./event_data.ts";
import { type Format, type HttpOptions, SourceUse } from "./source.ts";

/** One entry under `when`. The type parameter is the event that it emits. */
export class TriggerDefinition<out E = unknown> {
  /** Never set; carries the type of the event. */
  declare readonly emits?: E;
  /** @param entry the same trigger as an object of YAML */
  constructor(readonly entry: object, readonly schema?: StandardSchema) {}
}

/** Options of every trigger; see also {@link Batching}, which changes the event that a run gets. */
export interface TriggerOptions {
  /** Its id; by default the id is built from kind and address. */
  name?: string;
  /** CEL; events for which it does not hold do not reach the rule. */
  if?: string | readonly string[];
  /** What it gives for the rule's inputs, with expressions on its event: `{ bits: "${{ event.data.bits }}" }`. */
  inputs?: { readonly [name: string]: Json | readonly Json[] };
}

/** The data of an event from the clock. */
export interface Scheduled {
  /** When it was due, RFC 3339; also the event's id. */
  scheduled: string;
}

export interface CronOptions extends TriggerOptions {
  /** @default the variable TZ, else UTC */
  timezone?: string;
  /** @default "last" */
  missed?: "skip" | "last" | "all";
  /** How late a missed occurrence may still fire. @default "1h" */
  window?: string;
}

type CronEvent = TypedEvent<"cron", Scheduled>;

/** Fires at the times of a cron expression. */
export function cron(expression: string, options: CronOptions & Batching): TriggerDefinition<BatchEvent<CronEvent>>;
export function cron(expression: string, options?: CronOptions): TriggerDefinition<CronEvent>;
export function cron(expression: string, options: CronOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ cron: expression, ...options });
}

export interface EveryOptions extends TriggerOptions {
  missed?: "skip" | "last" | "all";
}

type EveryEvent = TypedEvent<"every", Scheduled>;

/** Fires at a fixed interval, across restarts: `every("10m")`. */
export function every(interval: string, options: EveryOptions & Batching): TriggerDefinition<BatchEvent<EveryEvent>>;
export function every(interval: string, options?: EveryOptions): TriggerDefinition<EveryEvent>;
export function every(interval: string, options: EveryOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ every: interval, ...options });
}

type AtEvent = TypedEvent<"at", Scheduled>;

/** Fires once, at an RFC 3339 time. */
export function at(time: string, options: TriggerOptions & Batching): TriggerDefinition<BatchEvent<AtEvent>>;
export function at(time: string, options?: TriggerOptions): TriggerDefinition<AtEvent>;
export function at(time: string, options: TriggerOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ at: time, ...options });
}

export interface WebhookOptions extends TriggerOptions {
  auth: WebhookAuth;
  /** Names of the secrets, several during a rotation; never a value. */
  secret?: string | readonly string[];
  /** One or several; GET answers HEAD, too. @default "POST" */
  method?: HttpMethod | readonly HttpMethod[];
  /** The origins whose pages may send from a browser, such as `https://app.example.org`; `*` for all. */
  cors?: string | readonly string[];
  /** CEL over the event; equal values are one event. */
  dedupe?: string;
  /** How long `dedupe` remembers. */
  within?: string;
  /** How long to wait for the rule's reply. @default "10s" */
  replyWithin?: string;
  /** @default "1MB" */
  maxBody?: string | number;
}

/** Some providers name their events: `github.push`, `stripe.charge.succeeded`. */
type WebhookType<Auth> = Auth extends "github" | "gitlab" | "stripe" | "slack" | "shopify" | "telegram"
  ? `${Auth}.${string}`
  : "webhook";

/**
 * Listens at `/hooks/<path>`. Give the type, or a validator, of the body as the last argument.
 * @example webhook("/orders", { auth: "standard", secret: "SHOP" }, type<Order>())
 */
export function webhook<const Options extends WebhookOptions & Batching, Data = Json>(
  path: string,
  options: Options,
  schema?: TypeOnly<Data>,
): TriggerDefinition<BatchEvent<WebhookEvent<WebhookType<Options["auth"]>, Data>>>;
export function webhook<const Options extends WebhookOptions, Data = Json>(
  path: string,
  options: Options,
  schema?: StandardSchema<Data> | TypeOnly<Data>,
): TriggerDefinition<WebhookEvent<WebhookType<Options["auth"]>, Data>>;
export function webhook(
  path: string,
  options: WebhookOptions,
  schema?: StandardSchema | TypeOnly<unknown>,
): TriggerDefinition<never> {
  return new TriggerDefinition({ webhook: path, ...options }, validatorOf(schema));
}

export interface PollOptions extends TriggerOptions {
  /** @default "5m" */
  every?: string;
  /** CEL: the list of items in the source's output. */
  items?: string;
  /** CEL over `item`: the identity of an item. */
  key?: string;
  /** @default ["added", "changed"] */
  on?: readonly ChangeKind[];
  /** Fields whose changes are ignored. */
  ignore?: readonly string[];
  /** Whether the items of the first poll count as added. @default "seed" */
  first?: "seed" | "emit";
  format?: Format;
  /** Charset of the page or output, whatever it declares. */
  charset?: string;
  pages?: { next: string; max?: number };
  /** Only the first items, silently. */
  take?: number;
  /** The most items of one look, all pages together; more is an error. @default 10000 */
  max?: number;
  /** CEL over `item`: when it was last changed. An item older than the known one is ignored. */
  at?: string;
  /** Also tells once what did not change for so long: `10m`. The event's type is `stagnant`. */
  stagnant?: string;
  /** A webhook whose deliveries only say that it is worth a look at once. */
  hook?: { webhook: string; auth: WebhookAuth; secret?: string | readonly string[] };
  /** How one item is read afresh: `{ http: "GET https://example.org/items/${{ key }}", value: "body" }`. */
  one?: ItemRequest;
  /** How `patch` changes one item: `{ http: "PATCH https://example.org/items/${{ key }}", json: "${{ patch }}" }`. */
  update?: ItemRequest;
}

/** A request for one item, with the options of `step.http`. */
export interface ItemRequest extends Omit<HttpOptions, "save" | "retry" | "timeout"> {
  http: string;
  /** CEL over the answer. @default "body" */
  value?: string;
}

export type ChangeKind = "added" | "changed" | "removed";
/** What is polled: a command, a request, or a function of a file. */
export type PollSource =
  | { run: string | readonly string[]; env?: Record<string, string>; stdin?: unknown; cwd?: string }
  | {
    http: string;
    headers?: Record<string, string>;
    query?: Record<string, unknown>;
    json?: unknown;
    body?: string;
    auth?: HttpOptions["auth"];
  }
  | { call: string; with?: Record<string, unknown>; auth?: Connected };

/** The connection of the requests of a source: a name in `whenthen.yaml`. */
interface Connected {
  connection: string;
}

/** What only a poll of a URL takes. */
interface UrlOptions {
  headers?: Record<string, string>;
  auth?: HttpOptions["auth"];
}

const POLL_OPTIONS = new Set([
  "name",
  "if",
  "batch",
  "every",
  "items",
  "key",
  "on",
  "ignore",
  "first",
  "format",
  "charset",
  "pages",
  "take",
  "max",
  "at",
  "stagnant",
  "hook",
]);

type PollEvent<Item> = TypedEvent<ChangeKind, Change<Item>>;
/** With `stagnant` there is one more type of event. */
type SourceEvent<Item, Options> = Options extends { stagnant: string }
  ? TypedEvent<ChangeKind | "stagnant", Change<Item>>
  : PollEvent<Item>;

/**
 * Polls a source and emits changes: `poll<Disk>({ run: "./disks.sh", every: "5m", key: "item.mount" })` or
 * `poll<Issue>("https://api.example.org/issues", { key: "item.id" })`. A source gives the type of its items:
 * `poll(tasks({ project }), { every: "5m" })`.
 */
export function poll<Item, const Options extends PollOptions & Batching & { auth?: Connected }>(
  source: SourceUse<Item>,
  options: Options,
): TriggerDefinition<BatchEvent<SourceEvent<Item, Options>>>;
export function poll<Item, const Options extends PollOptions & { auth?: Connected } = Record<never, never>>(
  source: SourceUse<Item>,
  options?: Options,
): TriggerDefinition<SourceEvent<Item, Options>>;
export function poll<Item = Json>(
  source: string,
  options: PollOptions & Batching & UrlOptions,
): TriggerDefinition<BatchEvent<PollEvent<Item>>>;
export function poll<Item = Json>(
  source: PollSource & PollOptions & Batching,
): TriggerDefinition<BatchEvent<PollEvent<Item>>>;
export function poll<Item = Json>(
  source: string,
  options?: PollOptions & UrlOptions,
): TriggerDefinition<PollEvent<Item>>;
export function poll<Item = Json>(
  source: PollSource & PollOptions,
): TriggerDefinition<PollEvent<Item>>;
export function poll(
  source: string | (PollSource & PollOptions) | SourceUse,
  options: PollOptions & UrlOptions = {},
): TriggerDefinition<never> {
  if (source instanceof SourceUse) {
    const { auth, ...others } = options;
    return new TriggerDefinition({ poll: { call: source.definition, with: source.inputs, auth }, ...others });
  }
  if (typeof source === "string") return new TriggerDefinition({ poll: source, ...options });
  const isOption = ([name]: [string, unknown]) => POLL_OPTIONS.has(name);
  // The kind names the step, so it comes first, in whatever order the options were written.
  const { run, http, call, ...rest }: Record<string, unknown> = { ...source };
  const step = { run, http, call, ...Object.fromEntries(Object.entries(rest).filter((entry) => !isOption(entry))) };
  return new TriggerDefinition({ poll: step, ...Object.fromEntries(Object.entries(rest).filter(isOption)) });
}

export interface WatchOptions extends TriggerOptions {
  /** @default ["added", "changed"] */
  on?: readonly ChangeKind[];
  /** How long a file must stay unchanged. @default "2s" */
  settle?: string;
  /** @default "emit" */
  first?: "seed" | "emit";
  format?: Format;
  /** Charset of the content, whatever it declares. */
  charset?: string;
}

type WatchEvent<Content> = TypedEvent<ChangeKind, FileChange<Content>>;

/** Emits when files that match the pattern are added, changed or removed. */
export function watch<Content = Json>(
  pattern: string,
  options: WatchOptions & Batching,
): TriggerDefinition<BatchEvent<WatchEvent<Content>>>;
export function watch<Content = Json>(pattern: string, options?: WatchOptions): TriggerDefinition<WatchEvent<Content>>;
export function watch(pattern: string, options: WatchOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ watch: pattern, ...options });
}

/** `order.*` matches all types with that prefix. */
type EventType<Pattern extends string> = Pattern extends `${infer Prefix}.*` ? `${Prefix}.${string}` : Pattern;

/** One event type of a union for each named type, so that `event.type` narrows. */
export type EventOf<Pattern extends string, Data> = Pattern extends string ? TypedEvent<EventType<Pattern>, Data>
  : never;

/**
 * Listens to events that rules emit, to `POST /events` and to `whenthen emit`.
 * @param schema the type of the data, or a Standard Schema validator (zod, valibot, arktype, …), which is run
 * @example event("order.created", type<Order>())
 */
export function event<const Pattern extends string, Data = Json>(
  type: Pattern | readonly Pattern[],
  schema: TypeOnly<Data> | undefined,
  options: TriggerOptions & Batching,
): TriggerDefinition<BatchEvent<EventOf<Pattern, Data>>>;
export function event<const Pattern extends string, Data = Json>(
  type: Pattern | readonly Pattern[],
  schema?: StandardSchema<Data> | TypeOnly<Data>,
  options?: TriggerOptions,
): TriggerDefinition<EventOf<Pattern, Data>>;
export function event(
  type: string | readonly string[],
  schema?: StandardSchema | TypeOnly<unknown>,
  options: TriggerOptions = {},
): TriggerDefinition<never> {
  return new TriggerDefinition({ event: type, ...options }, validatorOf(schema));
}

type StartEvent = TypedEvent<"start", null>;

/** The program started. */
export function start(options: TriggerOptions & Batching): TriggerDefinition<BatchEvent<StartEvent>>;
export function start(options?: TriggerOptions): TriggerDefinition<StartEvent>;
export function start(options: TriggerOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ start: true, ...options });
}

export interface ManualOptions extends TriggerOptions {
  /** People, groups or e-mail addresses who may start it; without it only operators. */
  to?: string | readonly string[];
}

/** Started by hand: `whenthen start`, the API, or the page `/start`. */
export function manual<Data = Json>(
  options: ManualOptions & Batching,
): TriggerDefinition<BatchEvent<TypedEvent<"manual", Data>>>;
export function manual<Data = Json>(options?: ManualOptions): TriggerDefinition<TypedEvent<"manual", Data>>;
export function manual(options: ManualOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ manual: true, ...options });
}

function validatorOf(schema: StandardSchema | TypeOnly<unknown> | undefined): StandardSchema | undefined {
  return schema && "~standard" in schema ? schema : undefined;
}

/**
 * How events are collected for one run: `{ every: "1h" }` closes that long after the first event, `{ quiet: "30s", within:
 * "5m" }` when no more events come, `{ cron: "0 9 * * 1" }` at set times.
 */
export type BatchOptions =
  & {
    /** Number of events at which it closes early. @default 1000 */
    max?: number;
  }
  & (
    | { every: string }
    | {
      quiet: string;
      /** The latest time after the first event. */
      within?: string;
    }
    | {
      cron: string;
      /** @default the variable TZ, else UTC */
      timezone?: string;
      /** Starts a run even if no events came. */
      empty?: boolean;
    }
  );

/** Makes one run of many events; the rule's `if` is CEL then. */
interface Batching {
  batch: BatchOptions;
}

/** The collected events, as one event. */
export type BatchEvent<E> = TypedEvent<"batch", BatchData<E>>;

export interface BatchData<E> {
  /** In order of arrival. */
  events: E[];
  count: number;
  /** When it was opened, RFC 3339. */
  since: string;
  /** With `cron`: the time at which it was due. */
  scheduled?: string;
}
