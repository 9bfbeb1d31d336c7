import { asJson, type Json, type JsonObject } from "../model/json.ts";
import type { Mismatch, Seen } from "../model/test.ts";
import { findMismatches } from "../language/expectation.ts";
import type { CodePlace, DefinedTest } from "./workers.ts";
import { RuleDefinition } from "../sdk/rule.ts";
import { definedTests, type RuleTester } from "../sdk/test.ts";
import { plainJson } from "./plain_json.ts";
import { type Ask, failureAt } from "./step_caller.ts";
import type { UserCode } from "./user_code.ts";

const FORGOTTEN = "is an await missing?";

/** A test's expectation failed; `detail` says which. */
class ExpectationError extends Error {
  override name = "ExpectationError";
  readonly detail: Json;

  constructor(mismatches: Mismatch[]) {
    super("not as expected");
    this.detail = asJson(mismatches);
  }
}

/** The tests that the module defines with `testRule`. */
export function describeTests(code: UserCode, file: string): DefinedTest[] {
  return definedTests.map(({ rule, name, options, stack }) => ({
    name: String(name),
    options: plainJson(options, `the options of the test ${JSON.stringify(name)}`) as JsonObject,
    at: placeIn(code, stack, file),
    rule: rule instanceof RuleDefinition ? { file: placeIn(code, rule.stack).file } : { id: String(rule) },
  }));
}

/** Runs one of these tests. Each of its calls becomes a message; `expect` checks what the last call resulted in. */
export async function runDefinedTest(index: number, begin: Seen, ask: Ask): Promise<void> {
  let seen = begin;
  const open = new Set<string>();
  const settled = (kind: string) => {
    if (open.size > 0) throw new TypeError(`t.${kind} was called before t.${[...open][0]} had settled: ${FORGOTTEN}`);
  };
  const execute = async (kind: string, args: object): Promise<void> => {
    // Read before the first await: later the caller is no longer on the stack.
    const callSite = new Error().stack ?? "";
    const given = plainJson(args, `the argument of t.${kind}`) as JsonObject;
    settled(kind);
    open.add(kind);
    const answer = await ask({ name: kind, scope: "", kind, args: given, answered: 0 });
    open.delete(kind);
    if (answer.kind === "failed") throw failureAt(callSite, answer.error);
    if (answer.kind === "result") seen = answer.output as unknown as Seen;
  };
  const t: RuleTester = {
    send: (sent) => execute("send", { send: sent }),
    advance: (by) => execute("advance", { advance: by }),
    answer: (step, answering) => execute("answer", { answer: step, ...answering }),
    start: ({ refused, ...starting } = {}) => execute("start", { start: starting, ...refused && { refused } }),
    config: ({ refused, ...config }) => execute("config", { config, ...refused && { refused } }),
    look: (trigger) => execute("look", { look: trigger }),
    device: (happening) => execute("device", { device: happening }),
    skip: (step) => execute("skip", { skip: step }),
    expect(expected, { exact = false } = {}) {
      settled("expect");
      const mismatches = findMismatches(plainJson(expected, "what is expected") as JsonObject, seen, exact);
      if (mismatches.length > 0) throw new ExpectationError(mismatches);
    },
    get seen() {
      return seen;
    },
  };
  await definedTests[index].run(t);
  const [kind] = open;
  if (kind !== undefined) throw new TypeError(`t.${kind} had not settled when the test ended: ${FORGOTTEN}`);
}

/** The innermost place of a stack, or the innermost one in a given file. */
function placeIn(code: UserCode, stack: string | undefined, file?: string): CodePlace {
  const places = code.frames(stack ?? "").map(({ place }) => place);
  return places.find((place) => place.file === file) ?? places[0] ?? { file: file ?? "", line: 1, column: 1 };
}
