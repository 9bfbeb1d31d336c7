/**
 * Tests of rules on a simulated clock. A layer of its own between `web` and the program: it combines the real parts of all
 * layers, as the program does, but for one rule, in memory, and in the world that a test describes.
 *
 * @module
 */
import { env as environment } from "node:process";
import { type CommandTest, failureOfTest } from "../commands/command_tests.ts";
import type { LoadedCommand } from "../folder/follow_calls.ts";
import type { Command } from "../model/rule.ts";
import { faultOf, guarded, isError, type Problem } from "../model/problem.ts";
import { openLoading } from "../folder/open_folder.ts";
import { refuseUnusedSet } from "../folder/rule_configs.ts";
import type { RuleTest, TestResult } from "../model/test.ts";
import { Secrets } from "../secrets/secrets.ts";
import { stepKinds } from "../engine/steps/index.ts";
import { logCode } from "../engine/run_log.ts";
import { checkTestFile, type CodeTest, findTestFiles, readTestFile, runCodeTest } from "./code_tests.ts";
import { failureOf } from "./seen.ts";
import { runEntry } from "./run_entry.ts";
import { checkFor, type LoadedRule, Stage } from "./stage.ts";
import { kinds, type TestFolder } from "./test_folder.ts";

/** What to test; config values of the command line apply to tests, too. */
export interface RunTestsOptions extends TestFolder {
  /** Runs only tests of which this is true. @default all */
  filter?: (test: Pick<TestResult, "file" | "name">) => boolean;
  /** Called with the result of each test as soon as it has ended. */
  onResult?: (result: TestResult) => void;
}

/** The results of a folder's tests. */
export interface TestReport {
  results: TestResult[];
  /** Errors of rules and tests that do not load. */
  problems: Problem[];
  /** How many tests the filter left out; absent without a filter. */
  leftOut?: number;
}

/** Loads a folder and runs all its tests in sequence: `tests:` of each rule, then `*.test.ts`. @throws UsageError if a value of `set` cannot be used */
export async function runTests(options: RunTestsOptions): Promise<TestReport> {
  const { folder, data, filter, onResult = () => {} } = options;
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const loading = openLoading({ ...options, environment, stepKinds, secrets, now: Date.now, onLog: logCode });
  let stage: Stage | undefined;
  try {
    const { rules: inForce, configs, problems, settings, refused } = await loading.loader.load();
    refuseUnusedSet(refused);
    const sources = loading.loader.ruleSources();
    const rules = [...inForce.values()].map((rule): LoadedRule => ({
      rule,
      source: sources.get(rule.file)!,
      config: configs.get(rule.id),
    }));
    rules.sort((a, b) => a.rule.file < b.rule.file ? -1 : 1);
    stage = new Stage({ folder, kinds, people: settings.people, connections: settings.connections });
    const report: TestReport = { results: [], problems: problems.filter(isError), ...filter && { leftOut: 0 } };
    const commands = loading.loader.commands();
    const isMeant = (file: string, { name }: { name: string }) => {
      const meant = filter?.({ file, name }) ?? true;
      if (!meant) report.leftOut!++;
      return meant;
    };
    for await (const result of runAll(stage, rules, { folder, data, commands, isMeant }, report.problems)) {
      report.results.push(result);
      onResult(result);
    }
    return report;
  } finally {
    await Promise.all([loading.close(), stage?.close()]);
  }
}

/** @param problems receives the problems of what does not load */
async function* runAll(
  stage: Stage,
  rules: LoadedRule[],
  { folder, data, commands, isMeant }: {
    folder: string;
    data: string;
    commands: ReadonlyMap<string, LoadedCommand>;
    isMeant: (file: string, test: { name: string }) => boolean;
  },
  problems: Problem[],
): AsyncGenerator<TestResult> {
  for (const { command, tests } of commands.values()) {
    for (const test of command ? tests : []) if (isMeant(command!.file, test)) yield runCommandTest(command!, test);
  }
  for (const loaded of rules) {
    for (const test of testsOf(loaded, problems)) {
      if (isMeant(loaded.rule.file, test)) yield await runDefinedTest(stage, loaded, test);
    }
  }
  for (const path of await findTestFiles(folder, data)) {
    const loading = loadTestFile(path, stage, rules, { folder, data });
    const loaded = await loading.catch((error) => ({ tests: [], problems: [faultOf(path, error)] }));
    problems.push(...loaded.problems);
    for (const test of loaded.tests) if (isMeant(path, test.test)) yield await runCodeTest(stage, test);
  }
}

function testsOf(loaded: LoadedRule, problems: Problem[]): RuleTest[] {
  const check = () => checkFor(loaded, { config: {}, env: environment, now: Date.now() }, kinds).tests;
  return guarded(loaded.rule.file, check, (problem) => (problems.push(problem), []));
}

async function loadTestFile(
  path: string,
  { isolates }: Stage,
  rules: LoadedRule[],
  { folder, data }: { folder: string; data: string },
): Promise<{ tests: CodeTest[]; problems: Problem[] }> {
  const file = await readTestFile(path, { folder, data, isolates });
  return "problems" in file ? { ...file, tests: [] } : await checkTestFile(file, rules, kinds, folder);
}

/** Runs one entry under `tests` of a command: only its arguments are built. */
function runCommandTest(command: Command, test: CommandTest): TestResult {
  const { id: rule, file } = command;
  const { name, at } = test;
  const startedAt = performance.now();
  const mismatch = failureOfTest(command, test);
  const failure = mismatch &&
    { message: "The command gives something else", file, at, mismatches: [mismatch], notes: [] };
  return { rule, file, at, name, took: performance.now() - startedAt, ...failure && { failure } };
}

/** Runs one entry under `tests`, in its own world. */
async function runDefinedTest(stage: Stage, loaded: LoadedRule, test: RuleTest): Promise<TestResult> {
  const { rule: { id: rule, file } } = loaded;
  const { name, at } = test;
  const startedAt = performance.now();
  let place = at;
  let failure: TestResult["failure"];
  try {
    await stage.inWorld(loaded, test, async (world) => {
      for (const entry of test.do) {
        place = entry.at;
        await runEntry(world, entry).catch(async (error) => {
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
