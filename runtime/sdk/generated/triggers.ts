// Made by `deno task sdk` from the tables of triggers and actions: edit those.
import type { Duration } from "../durations.ts";
import type { TypedEvent } from "../event_data.ts";
import {
  type BatchEvent,
  type Batching,
  type Scheduled,
  TriggerDefinition,
  type TriggerOptions,
} from "../trigger_definition.ts";
import type { CronOptions, EveryOptions } from "./options.ts";

type CronEvent = TypedEvent<"cron", Scheduled>;

/** Emits at the times of a cron pattern. */
export function cron(cron: string, options: CronOptions & Batching): TriggerDefinition<BatchEvent<CronEvent>>;
export function cron(cron: string, options?: CronOptions): TriggerDefinition<CronEvent>;
export function cron(cron: string, options: CronOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ cron, ...options });
}

type EveryEvent = TypedEvent<"every", Scheduled>;

/** Emits at an interval, the first time one interval after the rule is first loaded. */
export function every(every: Duration, options: EveryOptions & Batching): TriggerDefinition<BatchEvent<EveryEvent>>;
export function every(every: Duration, options?: EveryOptions): TriggerDefinition<EveryEvent>;
export function every(every: Duration, options: EveryOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ every, ...options });
}

type AtEvent = TypedEvent<"at", Scheduled>;

/** Emits once, at a date and time. */
export function at(at: string, options: TriggerOptions & Batching): TriggerDefinition<BatchEvent<AtEvent>>;
export function at(at: string, options?: TriggerOptions): TriggerDefinition<AtEvent>;
export function at(at: string, options: TriggerOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ at, ...options });
}

type StartEvent = TypedEvent<"start", null>;

/** Emits once each time the program starts. */
export function start(options: TriggerOptions & Batching): TriggerDefinition<BatchEvent<StartEvent>>;
export function start(options?: TriggerOptions): TriggerDefinition<StartEvent>;
export function start(options: TriggerOptions = {}): TriggerDefinition<never> {
  return new TriggerDefinition({ start: true, ...options });
}
