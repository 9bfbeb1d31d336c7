/**
 * Tests of rules on a simulated clock. A layer of its own between `web` and the program: it puts the real parts of all
 * layers together, as the program does, but for one rule, in memory, and with the world that a test gives.
 *
 * @module
 */
import { env as environment } from "node:process";
import { openLoading } from "../load/open.ts";
import type { Prebuilt } from "../load/prebuilt.ts";
import type { Problem } from "../model/problem.ts";
import type { RuleTest, TestResult } from "../model/test.ts";
import { Secrets } from "../rule/secrets.ts";
import { stepKinds } from "../run/index.ts";
import { triggerKinds } from "../trigger/index.ts";
import { failureOf } from "./failure.ts";
import { performEntry } from "./perform_entry.ts";
import { Stage } from "./stage.ts";
import { checkFor, type LoadedRule } from "./tested_rule.ts";

/** What to test, by absolute paths. */
export interface RunTestsOptions {
  folder: string;
  /** Keeps what TypeScript files declare, for the next load. */
  data: string;
  env?: string;
  prebuilt?: Prebuilt;
  /** Told of each test as soon as it is over. */
  onResult?: (result: TestResult) => void;
}

/** How the tests of a folder went. */
export interface TestReport {
  results: TestResult[];
  /** Errors of rules and tests that do not load. */
  problems: Problem[];
}

const kinds = { triggers: triggerKinds, steps: stepKinds };

/** Loads a folder and does all its tests, one after the other: `tests:` of each rule, and `*.test.ts`. */
export async function runTests(options: RunTestsOptions): Promise<TestReport> {
  const { folder, onResult = () => {} } = options;
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const loading = openLoading({ ...options, environment, stepKinds, secrets, now: Date.now, onLog: () => {} });
  let stage: Stage | undefined;
  try {
    const { rules, problems, settings } = await loading.loader.load();
    const sources = loading.loader.ruleSources();
    stage = new Stage({ folder, kinds, people: settings.people });
    const results: TestResult[] = [];
    for (const rule of [...rules.values()].sort((a, b) => a.file < b.file ? -1 : 1)) {
      const loaded: LoadedRule = { rule, source: sources.get(rule.file)! };
      const { tests } = checkFor(loaded, { config: {}, env: environment, now: Date.now() }, kinds);
      for (const test of tests) {
        const result = await performTest(stage, loaded, test);
        results.push(result);
        onResult(result);
      }
    }
    return { results, problems: problems.filter(({ severity }) => severity === "error") };
  } finally {
    await Promise.all([loading.close(), stage?.close()]);
  }
}

/** Does one entry under `tests`, in a world of its own. */
async function performTest(stage: Stage, loaded: LoadedRule, test: RuleTest): Promise<TestResult> {
  const { rule: { id: rule, file } } = loaded;
  const { name, at } = test;
  const startedAt = performance.now();
  let place = at;
  let failure: TestResult["failure"];
  try {
    await stage.inWorld(loaded, test, async (world) => {
      for (const entry of test.do) {
        place = entry.at;
        await performEntry(world, entry).catch(async (error) => {
          failure = await failureOf(error, { file, at: place }, world);
          throw error;
        });
      }
    });
  } catch (error) {
    failure ??= await failureOf(error, { file, at: place });
  }
  return { rule, file, at, name, took: performance.now() - startedAt, ...failure && { failure } };
}
