import { createHash } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../host/clock.ts";
import type { Meter } from "../language/expressions/meter.ts";
import type { Args, Kind, OptionSchemas, ReadArgs, Schemas } from "../language/kind.ts";
import type { Event } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Definition } from "../model/rule.ts";
import type { Position } from "../model/problem.ts";
import type { Progress, Receipt, Store } from "../store/store.ts";
import type { WebhookArgs } from "./webhook_request.ts";

/** A trigger module: its schema, and `attach(context) → detach`. */
export interface TriggerKind extends Kind {
  /** Kind and address (URL, path, cron and zone): the name of a trigger that was given none. */
  address(args: JsonObject): string;
  /** Starts emitting. The returned function stops that, and resolves once no work is in progress. */
  attach(context: TriggerContext): Detach | Promise<Detach>;
  /** One pass for `whenthen once`: polls once, emits what is due. Absent if there is nothing to do. */
  pass?(context: TriggerContext): Promise<void>;
  /**
   * On a replica that does not decide: takes what arrives there for the one that does. Absent if nothing arrives for such a trigger.
   * @param passOn makes the trigger look at once, on the replica that decides
   */
  follow?(context: TriggerContext, passOn: () => Promise<void>): Detach;
}

/** A trigger; its functions get the arguments with the types from its schemas. */
interface TriggerKindDefinition<S extends Schemas>
  extends Omit<TriggerKind, keyof Schemas | "check" | "warn" | "address" | "attach" | "pass" | "follow"> {
  /** See {@link Kind.check}. */
  check?: (args: ReadArgs<S>, now: number) => string[];
  /** See {@link Kind.warn}. */
  warn?: (args: ReadArgs<S>, now: number) => string[];
  /** See {@link TriggerKind.address}. */
  address: (args: ReadArgs<S>) => string;
  /** See {@link TriggerKind.attach}. */
  attach: (context: TriggerContext<Args<S>>) => Detach | Promise<Detach>;
  /** See {@link TriggerKind.pass}. */
  pass?: (context: TriggerContext<Args<S>>) => Promise<void>;
  /** See {@link TriggerKind.follow}. */
  follow?: (context: TriggerContext<Args<S>>, passOn: () => Promise<void>) => Detach;
}

/** Defines a kind of trigger; the types of its arguments follow from `main` and `options`. */
export function defineTrigger<const Name extends string, Main extends z.ZodType, Options extends OptionSchemas>(
  trigger: Schemas<Name, Main, Options> & TriggerKindDefinition<Schemas<Name, Main, Options>>,
): Omit<TriggerKind, keyof Schemas> & Schemas<Name, Main, Options> {
  // The caller has parsed the arguments with these schemas.
  return trigger as Omit<TriggerKind, keyof Schemas> & Schemas<Name, Main, Options>;
}

/** The option `on`: which kinds of changes become events. */
export function changesOption() {
  return z.array(z.enum(["added", "changed", "removed"])).min(1).default(["added", "changed"])
    .describe("Which changes become events");
}

export type Detach = () => void | Promise<void>;

/** What a trigger can reach. */
export interface TriggerContext<Arguments = JsonObject> {
  rule: { id: string; file: string };
  trigger: { id: string; at: Position };
  /** The trigger's arguments with every template resolved, secrets included. */
  args: Arguments;
  /** The rules folder and the rule file's folder, absolute. */
  folder: string;
  ruleFolder: string;
  clock: Clock;
  /** When the program started, milliseconds since the epoch. */
  startedAt: number;
  store: Pick<Store, "getMark" | "getBaseline" | "getItems" | "getStagnant" | "getWrites">;
  /** Aborted on detach and at shutdown. */
  signal: AbortSignal;
  /** True while `whenthen once` makes its pass. */
  once: boolean;
  /** Measures the cost of the expressions about the source. */
  meter?: Meter;
  /** Whether the conditions of the trigger and the rule hold for an event; true if that is only known once rule code runs. */
  holds(event: TriggerEvent): Promise<boolean>;
  /** Hands events and the trigger's own progress to ingest, in one transition. */
  ingest(events: TriggerEvent[], progress?: Omit<Progress, "rule" | "trigger">): Promise<Receipt[]>;
  /** What the poll calls, if that is a source. */
  source?: Definition;
  /** Runs a step as the source of a poll: `{ run }`, `{ http, … }`, `{ call }`; returns its output. */
  execute(source: JsonObject, input: JsonObject, signal: AbortSignal, how?: SourceCalling): Promise<Json>;
  /** Registers webhook triggers; see `web/hooks.ts`. */
  hooks: Registry<Hook>;
  /** Registers event triggers. */
  subscriptions: Registry<Subscription>;
  log: TriggerLog;
  /** Reports that a pass failed, for `/metrics`, the API and the exit code of `once`; null once it works again. */
  report(failure: string | null, capped?: Capped): void;
}

/** A pass failed because there are more items than the poll may have. */
export interface Capped {
  max: number;
}

/** Which function of a source is called. */
export interface SourceCalling {
  /** Its name in messages, if only the signal limits its time. */
  unlimited?: string;
  /** @default "read" */
  method?: "one" | "listen";
  /** Stores what `listen` emits: `{ items, cursor, removed }`. */
  emit?: (emitted: JsonObject) => Promise<void>;
}

/** An event as a trigger makes it; ingest adds the source (rule and trigger) if none is given. */
export type TriggerEvent = Omit<Event, "source" | "time"> & { source?: string; time?: string };

export interface Registry<T> {
  /** @returns a function that removes the entry */
  add(entry: T): () => void;
}

/** A webhook trigger as the HTTP side sees it. */
export interface Hook {
  rule: string;
  trigger: string;
  /** `/price/:sku`, below `/hooks`. */
  path: string;
  args: WebhookArgs;
  /** Absolute folder and position for messages. */
  at: Position;
  /** A delivery only calls this; it is no event. */
  nudge?: () => void | Promise<void>;
}

/** An event trigger as ingest sees it: exact types and `prefix.*`. */
export interface Subscription {
  rule: string;
  trigger: string;
  types: string[];
}

export interface TriggerLog {
  info(message: string, details?: JsonObject): void;
  warn(message: string, details?: JsonObject): void;
}

/** An event's id: a hash replaces a long one, so that it can be stored and shown. */
export function shortId(id: string): string {
  return id.length <= 200 ? id : createHash("sha256").update(id).digest("hex");
}

/** Items in one read. With items of 1 kB, a read takes a few milliseconds, and all other work waits for it. */
const PAGE = 500;

/** A trigger's baseline, in pages ordered by key. Only the trigger itself changes it, so the pages are consistent. */
export async function* readBaseline(
  { store, rule, trigger }: Pick<TriggerContext, "store" | "rule" | "trigger">,
): AsyncGenerator<Map<string, Json>> {
  const key = { rule: rule.id, trigger: trigger.id };
  let after: string | undefined;
  for (;;) {
    const page = await store.getBaseline(key, PAGE, after);
    if (page.size > 0) yield page;
    if (page.size < PAGE) return;
    after = [...page.keys()].at(-1);
  }
}
