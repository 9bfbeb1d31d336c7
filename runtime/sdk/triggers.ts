import type { EventPayloadMap } from "@octokit/webhooks-types";
import type { Json, JsonObject } from "../model/json.ts";
import type { Change, FileChange, StandardSchema, TypedEvent, TypeOnly, WebhookEvent } from "./event_data.ts";
import {
  type CallOptions,
  type HttpOptions,
  type ManualOptions,
  POLL_OPTIONS,
  type PollOptions,
  type RunOptions,
  TRIGGER_OPTIONS,
  type WatchOptions,
  type WebhookOptions,
} from "./generated/options.ts";
import { SourceUse } from "./source.ts";
import { type BatchEvent, type Batching, TriggerDefinition, type TriggerOptions } from "./trigger_definition.ts";

/** Some providers name their events: `github.push`, `stripe.charge.succeeded`. */
type WebhookType<Auth> = Auth extends "github" | "gitlab" | "stripe" | "slack" | "shopify" | "telegram"
  ? `${Auth}.${string}`
  : "webhook";

/** Events that GitHub documents and the package of types lacks. */
type NewGithubEvent =
  | "bypass_request_push_ruleset"
  | "bypass_request_secret_scanning"
  | "dismissal_request_code_scanning"
  | "dismissal_request_dependabot"
  | "dismissal_request_secret_scanning"
  | "exemption_request_push_ruleset"
  | "exemption_request_secret_scanning"
  | "issue_dependencies"
  | "personal_access_token_request"
  | "projects_v2"
  | "projects_v2_status_update"
  | "repository_advisory"
  | "repository_ruleset"
  | "secret_scanning_scan"
  | "security_and_analysis"
  | "sub_issues";

/** The events of GitHub with their payloads. */
type GithubEvent =
  | { [Name in keyof EventPayloadMap]: WebhookEvent<`github.${Name}`, EventPayloadMap[Name]> }[keyof EventPayloadMap]
  | { [Name in NewGithubEvent]: WebhookEvent<`github.${Name}`, JsonObject> }[NewGithubEvent];

/** The event of a webhook; without a type of its data, that of the provider if it is known. */
type HookEvent<Auth, Data> = [Data] extends [never]
  ? Auth extends "github" ? GithubEvent : WebhookEvent<WebhookType<Auth>>
  : WebhookEvent<WebhookType<Auth>, Data>;

/**
 * Listens at `/hooks/<path>`. Give the type, or a validator, of the body as the last argument; events of GitHub have their types without
 * it, and `event.type` tells them apart.
 * @example webhook("/orders", { auth: "standard", secret: "SHOP" }, type<Order>())
 */
export function webhook<const Options extends WebhookOptions & Batching, Data = never>(
  path: string,
  options: Options,
  schema?: TypeOnly<Data>,
): TriggerDefinition<BatchEvent<HookEvent<Options["auth"], Data>>>;
export function webhook<const Options extends WebhookOptions, Data = never>(
  path: string,
  options: Options,
  schema?: StandardSchema<Data> | TypeOnly<Data>,
): TriggerDefinition<HookEvent<Options["auth"], Data>>;
export function webhook(
  path: string,
  options: WebhookOptions,
  schema?: StandardSchema | TypeOnly<unknown>,
): TriggerDefinition<never> {
  return new TriggerDefinition({ webhook: path, ...options }, validatorOf(schema));
}

type ChangeKind = "added" | "changed" | "removed";
/** What is polled: a command, a request, or a function of a file. */
type PollSource =
  | { run: string | readonly string[] } & Pick<RunOptions, "env" | "stdin" | "cwd">
  | { http: string } & Pick<HttpOptions, "headers" | "query" | "json" | "body" | "auth">
  | { call: string } & Pick<CallOptions, "with" | "auth">;

/** The options of a poll whose source has its own headers and connection. */
type StepPollOptions = Omit<PollOptions, "headers" | "auth">;
/** The options of a poll of a source made by `source()`. */
type SourcePollOptions = StepPollOptions & Pick<CallOptions, "auth">;

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
export function poll<Item, const Options extends SourcePollOptions & Batching>(
  source: SourceUse<Item>,
  options: Options,
): TriggerDefinition<BatchEvent<SourceEvent<Item, Options>>>;
export function poll<Item, const Options extends SourcePollOptions = Record<never, never>>(
  source: SourceUse<Item>,
  options?: Options,
): TriggerDefinition<SourceEvent<Item, Options>>;
export function poll<Item = Json>(
  source: string,
  options: PollOptions & Batching,
): TriggerDefinition<BatchEvent<PollEvent<Item>>>;
export function poll<Item = Json>(
  source: PollSource & StepPollOptions & Batching,
): TriggerDefinition<BatchEvent<PollEvent<Item>>>;
export function poll<Item = Json>(
  source: string,
  options?: PollOptions,
): TriggerDefinition<PollEvent<Item>>;
export function poll<Item = Json>(
  source: PollSource & StepPollOptions,
): TriggerDefinition<PollEvent<Item>>;
export function poll(
  source: string | (PollSource & StepPollOptions) | SourceUse,
  options: PollOptions = {},
): TriggerDefinition<never> {
  if (source instanceof SourceUse) {
    const { auth, ...others } = options;
    return new TriggerDefinition({ poll: { call: source.definition, with: source.inputs, auth }, ...others });
  }
  if (typeof source === "string") return new TriggerDefinition({ poll: source, ...options });
  // The kind names the step, so it comes first, in whatever order the options were written.
  const { run, http, call, ...rest }: Record<string, unknown> = { ...source };
  const isOption = ([name]: [string, unknown]) => isPollOption(name);
  const step = { run, http, call, ...Object.fromEntries(Object.entries(rest).filter((entry) => !isOption(entry))) };
  return new TriggerDefinition({ poll: step, ...Object.fromEntries(Object.entries(rest).filter(isOption)) });
}

/** Whether an option beside a step is one of the poll; a step has `headers` and `auth` of its own. */
function isPollOption(name: string): boolean {
  if (name === "headers" || name === "auth") return false;
  return TRIGGER_OPTIONS.includes(name) || POLL_OPTIONS.includes(name);
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
