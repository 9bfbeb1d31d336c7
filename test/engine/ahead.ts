import { Ingest } from "../../runtime/ingest/ingest.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import type { Receipt } from "../../runtime/store/store.ts";
import { type Bench, callStep, makeStep } from "./harness.ts";

export const line = makeStep("log", "log", { log: "hello" });
export const reply = makeStep("reply", "reply", { reply: 202 });
export const outside = callStep("ask", "ask");

const http = { method: "POST", path: "/in", query: {}, params: {}, headers: {} };

/** Ingest in front of the bench's runner, as in the program. */
export function ingestOf(bench: Bench, rule: Rule): (id: string) => Promise<Receipt[]> {
  const { store, runner, clock } = bench;
  const ingest = new Ingest({ store, clock, surroundings: () => ({}), executor: runner, onAccepted() {} });
  ingest.setRules(new Map([[rule.id, rule]]));
  return (id) => {
    const time = new Date(clock.now()).toISOString();
    const event = { id, source: "/test", type: "test", time, data: null, http };
    return ingest.deliver([{ rule: rule.id, trigger: "manual", event }]);
  };
}

/** Executes a run of the rule, so that its version is in memory, and forgets what was seen of that. */
export async function warmUp(bench: Bench, rule: Rule): Promise<void> {
  bench.functions.ask = () => null;
  await bench.run(rule);
  [bench.lines, bench.finished, bench.replies, bench.calls] = [[], [], [], []];
}
