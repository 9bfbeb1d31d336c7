import { openIsolates } from "../../runtime/workers/open_workers.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import { isFinal } from "../../runtime/model/run.ts";
import type { RunnerOptions } from "../../runtime/engine/runner_options.ts";
import type { Trace } from "../../runtime/store/store.ts";
import { type Bench, makeRule, withBench } from "./harness.ts";

/** A bench whose rules are TypeScript, in real workers; functions of the bench are called as before. */
export async function withCode(
  use: (bench: Bench) => Promise<void>,
  { secrets = {}, ...options }: Partial<RunnerOptions> & { secrets?: Record<string, string> } = {},
): Promise<void> {
  const isolates = openIsolates({
    secrets: () => secrets,
    onSecret: () => {},
    env: () => ({}),
    onLog: () => {},
    blockedAfter: 3_000,
  });
  try {
    await withBench(use, options, isolates);
  } finally {
    await isolates.close();
  }
}

/** A rule whose function has this body; `call(name, fn, with)` in it is a step that calls a function of the bench. */
export function codeRule(then: string, more: Partial<Rule> & { condition?: string } = {}): Rule {
  const { condition, ...rest } = more;
  const code = `import { event as on, manual, rule, TerminalError, RetryAfterError } from "whenthen";
    export default rule({ when: manual(), ${
    condition ? `if: ${condition},` : ""
  } then: async ({ event, step, config, secrets }) => {
      const call = (name, fn, values, options) => step.call(name, "./lib.ts#" + fn, { with: values, ...options });
      { ${then} }
    } });`;
  const modules = { "": code, "ops/lib.ts": "" };
  return makeRule("function", { file: "ops/test.ts", modules, ...(condition && { if: "function" as const }), ...rest });
}

/** Resolves when every executing run waits, and there is nothing to claim. */
export function idle(bench: Bench): Promise<void> {
  return until(() => bench.runner.idle);
}

/** Resolves when a condition holds. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  do await new Promise((resolve) => setTimeout(resolve, 1)); while (!await isSo());
}

/** Advances the clock to the next due time, until the run has ended. */
export async function endOf(bench: Bench, run: string): Promise<Trace> {
  for (;;) {
    await idle(bench);
    const trace = await bench.trace(run);
    if (isFinal(trace.run.state)) return trace;
    if (!bench.clock.wakeNext(Infinity)) {
      throw new Error(`Run ${run} waits for ${trace.run.waitingFor}, and nothing is due`);
    }
  }
}
