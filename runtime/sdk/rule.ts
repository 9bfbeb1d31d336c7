import type { Duration, Rate } from "./durations.ts";
import type { Json } from "../model/json.ts";
import type { ConfigSpec, ConfigValues, InputValues } from "./fields.ts";
import type { Step } from "./step.ts";
import type { TriggerDefinition } from "./trigger_definition.ts";

/** One trigger or a list of them. */
type When = TriggerDefinition | readonly TriggerDefinition[];

/** The event that one of the triggers emits; a union narrows by `event.type`. */
type EventFrom<W> = W extends TriggerDefinition<infer E> ? E
  : W extends readonly TriggerDefinition<infer E>[] ? E
  : never;

/** What a rule's functions see. */
export interface RuleScope<W, C, I> {
  event: EventFrom<W>;
  config: ConfigValues<C>;
  /** What the run was started with. */
  inputs: InputValues<I>;
  /** Environment variables, without secrets. */
  env: Readonly<Record<string, string | undefined>>;
  /** Reading an unset secret throws. Recorded inputs name secrets, `${{ secrets.X }}`; output is masked. */
  secrets: Readonly<Record<string, string>>;
  run: { readonly id: string; readonly attempt: number };
  rule: { readonly id: string; readonly file: string };
}

/** The argument of `rule()`; the keys are those of YAML. */
export interface RuleSpec<W extends When, C extends ConfigSpec, I extends ConfigSpec = Record<never, Json>> {
  id?: string;
  name?: string;
  when: W;
  /** CEL clauses that must all hold, or a function. */
  if?: string | readonly string[] | ((scope: RuleScope<W, C, I>) => boolean | Promise<boolean>);
  /** CEL; runs with equal keys count together for `mode`. */
  key?: string;
  /** @default "parallel" */
  mode?: "parallel" | "queued" | "single" | "restart";
  /** How many runs of one key at once in mode `parallel`. @default 10 */
  max?: number;
  /** Waits do not count. @default "1h" */
  timeout?: Duration;
  /** Runs above it are delayed. @default "1000/m" */
  limit?: Rate | "none";
  enabled?: boolean;
  config?: C;
  /** Who may set the config at `/config/<rule>` besides operators: people, groups, e-mail addresses. */
  editors?: string | readonly string[];
  /** What it is started with: by a person, or by its triggers. */
  inputs?: I;
  /** Steps as in YAML, executed if the run failed. */
  onError?: readonly { readonly [key: string]: unknown }[];
  then: (scope: RuleScope<W, C, I> & { step: Step }) => unknown;
}

/**
 * What `rule()` returns. It must have no `then` property: an object with one is thenable, and `await` would call it.
 */
export class RuleDefinition {
  /** The stack of the `rule(` call. */
  readonly stack = new Error().stack;
  constructor(readonly spec: AnyRuleSpec) {
    rules.push(this);
  }
}

/** All rules that the code of this worker has declared, exported or not. */
export const rules: RuleDefinition[] = [];

/** A rule's spec whose functions have any types of events and values. */
interface AnyRuleSpec extends Omit<RuleSpec<When, ConfigSpec, ConfigSpec>, "if" | "then"> {
  if?: string | readonly string[] | ((scope: never) => boolean | Promise<boolean>);
  then: (scope: never) => unknown;
}

/** Declares a rule; the default export of a rule file. */
export function rule<
  const W extends When,
  const C extends ConfigSpec = Record<never, Json>,
  const I extends ConfigSpec = Record<never, Json>,
>(spec: RuleSpec<W, C, I>): RuleDefinition {
  return new RuleDefinition(spec);
}
