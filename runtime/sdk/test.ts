import type { Answering, Expectation, Seen, Sending } from "../model/test.ts";
import type { RuleDefinition } from "./rule.ts";

/** What a test begins with; the words are those of `tests:` in YAML. */
export interface TestOptions {
  /** @default "2027-01-04T09:00:00Z", a Monday */
  now?: string;
  /** Groups with their members; by default those of `whenthen.yaml`. */
  people?: Record<string, readonly string[]>;
  /** Over the defaults; what has none is as configured. */
  config?: Record<string, unknown>;
  /** Values of secrets; others are made up. */
  secrets?: Record<string, string>;
  env?: Record<string, string>;
  /** What steps get from the world, by kind, step name or path; a list holds successive answers. */
  stub?: Record<string, unknown>;
}

/** What a test does with its rule. Each promise settles once nothing happens any more before the clock moves. */
export interface RuleTester {
  /** `t.send({ type: "order.paid", data })`, `t.send({ trigger: "cron" })`, `t.send({ webhook: "/stripe", json })` */
  send(sent: Sending): Promise<void>;
  /** Turns the clock on by a duration, or to a time; what is due on the way happens. */
  advance(by: string): Promise<void>;
  /** Somebody answers the form of this step. */
  answer(step: string, answering?: Answering): Promise<void>;
  /** An operator ends the wait of this step. */
  skip(step: string): Promise<void>;
  /**
   * Throws where something is not so by now; what is not mentioned is not looked at.
   * @param options `exact`: lists are complete
   */
  expect(expected: Expectation, options?: { exact?: boolean }): void;
  /** All that there is to see. */
  readonly seen: Seen;
}

/** A test as `testRule` was given it. */
export class TestDefinition {
  /** Where `testRule(` was called, as a stack. */
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
 * Tests a rule of this folder on a simulated clock; `whenthen test` does it. Stands at the top level of a `*.test.ts` file.
 * @param rule what the rule's file exports, or a rule's id
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
