import type { Due } from "./durations.ts";
import type { Answering, Configuring, DeviceHappening, Expectation, Seen, Sending, Starting } from "../model/test.ts";
import type { RuleDefinition } from "./rule.ts";

/** The initial world of a test; the keys are those of `tests:` in YAML. */
export interface TestOptions {
  /** @default "2027-01-04T09:00:00Z", a Monday */
  now?: string;
  /** Groups with their members; by default those of `whenthen.yaml`. */
  people?: Record<string, readonly string[]>;
  /** Overrides the defaults; a field without a default has its configured value. */
  config?: Record<string, unknown>;
  /** Values of secrets; others are made up. */
  secrets?: Record<string, string>;
  env?: Record<string, string>;
  /** The world's answers to steps, by kind, step name or path; a list holds successive answers. */
  stub?: Record<string, unknown>;
}

/** The actions of a test. Each promise settles when nothing more happens before the clock moves. */
export interface RuleTester {
  /** `t.send({ type: "order.paid", data })`, `t.send({ trigger: "cron" })`, `t.send({ webhook: "/stripe", json })` */
  send(sent: Sending): Promise<void>;
  /** Advances the clock by a duration, or to a time; what becomes due on the way is executed. */
  advance<const Text extends string>(by: Due<Text>): Promise<void>;
  /** Somebody answers the form of this step. */
  answer(step: string, answering?: Answering): Promise<void>;
  /** Somebody starts the rule by hand: `t.start({ as: "anna", inputs: { bits: 4096 } })` */
  start(starting?: Starting): Promise<void>;
  /** Somebody sets the rule's config: `t.config({ as: "anna", set: { limit: 5 } })` */
  config(configuring: Configuring): Promise<void>;
  /** An operator ends the wait of this step. */
  skip(step: string): Promise<void>;
  /** A poll looks at its source now; named by its name, address or kind. */
  look(trigger: string): Promise<void>;
  /** Something happens to a device: `t.device({ fleet: "plant/plc", name: "press-1", event: "dead" })` */
  device(happening: DeviceHappening): Promise<void>;
  /**
   * Throws if something is not as expected now; parts that are not mentioned are not checked.
   * @param options `exact`: lists are complete
   */
  expect(expected: Expectation, options?: { exact?: boolean }): void;
  /** The complete state that a test can check. */
  readonly seen: Seen;
}

/** A test that was defined with `testRule`. */
class TestDefinition {
  /** The stack of the `testRule(` call. */
  readonly stack = new Error().stack;
  constructor(
    readonly rule: RuleDefinition | string,
    readonly name: string,
    readonly options: TestOptions,
    readonly run: (t: RuleTester) => unknown,
  ) {}
}

/** The tests of the module that is loaded in this worker. */
export const definedTests: TestDefinition[] = [];

/**
 * Tests a rule of this folder on a simulated clock; `whenthen test` runs it. Call it at the top level of a `*.test.ts`
 * file.
 * @param rule the default export of the rule's file, or a rule's id
 */
export function testRule(rule: RuleDefinition | string, name: string, run: (t: RuleTester) => unknown): void;
export function testRule(
  rule: RuleDefinition | string,
  name: string,
  options: TestOptions,
  run: (t: RuleTester) => unknown,
): void;
export function testRule(
  rule: RuleDefinition | string,
  name: string,
  ...rest: [run: (t: RuleTester) => unknown] | [options: TestOptions, run: (t: RuleTester) => unknown]
): void {
  const [options, run] = rest.length === 1 ? [{}, rest[0]] : rest;
  if (typeof run !== "function") {
    throw new TypeError(`testRule(…, ${JSON.stringify(name)}, …) needs a function at its end`);
  }
  definedTests.push(new TestDefinition(rule, name, options, run));
}
