import { join } from "node:path";
import { fieldsOf } from "../folder/checks.ts";
import { hashVersion } from "../folder/source_file.ts";
import { listFolder, scopeOf } from "../folder/folder_files.ts";
import { bundle, esbuild, readLine } from "../folder/typescript/typescript_bundle.ts";
import { parseArgs } from "../language/checker/check_rule.ts";
import { checkWorld, testedOf } from "../language/checker/check_tests.ts";
import { Checking } from "../language/checker/checking.ts";
import { isEntryKind, testKinds } from "../language/checker/test_kinds.ts";
import { hintAtUnknown, listKnown } from "../language/hints.ts";
import type { Kinds } from "../language/kind.ts";
import { messageOf } from "../model/errors.ts";
import { asJson, isObject } from "../model/json.ts";
import { isError, type Problem } from "../model/problem.ts";
import type { Mismatch, RuleTest, TestFailure, TestResult } from "../model/test.ts";
import {
  type BundledModule,
  type DefinedTest,
  type Isolates,
  RuleCodeError,
  type StepAnswer,
  type StepCall,
} from "../workers/workers.ts";
import { TestFailed, TIMEOUT } from "./activity.ts";
import { runEntry } from "./run_entry.ts";
import { failureOf, look } from "./seen.ts";
import type { LoadedRule, Stage } from "./stage.ts";
import type { World } from "./world.ts";

/** A call of `testRule` that can be executed. */
export interface CodeTest {
  file: TestFile;
  index: number;
  loaded: LoadedRule;
  test: Omit<RuleTest, "at" | "do">;
}

/** Finds the rules of a file's tests and checks the tests' initial worlds. */
export async function checkTestFile(
  file: TestFile,
  rules: LoadedRule[],
  kinds: Kinds,
  folder: string,
): Promise<{ tests: CodeTest[]; problems: Problem[] }> {
  const tests: CodeTest[] = [];
  const problems: Problem[] = [];
  for (const [index, defined] of file.tests.entries()) {
    const { at, name, rule: of } = defined;
    const loaded = rules.find(({ rule }) => "file" in of ? rule.file === of.file : rule.id === of.id);
    if (loaded === undefined) {
      const wanted = "file" in of ? `in ${of.file}` : `"${of.id}"`;
      const known = listKnown(rules.map(({ rule }) => rule.id));
      problems.push(await problemAt(at, `testRule: there is no rule ${wanted} that loads; ${known}`, folder));
      continue;
    }
    const found = checkOptions(defined, loaded, kinds);
    for (const message of found.problems) problems.push(await problemAt(at, message, folder));
    if (found.problems.length === 0) tests.push({ file, index, loaded, test: { ...found.test, name } });
  }
  return { tests, problems };
}

function checkOptions({ options, at, name }: DefinedTest, loaded: LoadedRule, kinds: Kinds) {
  const { rule, source } = loaded;
  const place = () => ({ line: at.line, column: at.column });
  const origin = { file: at.file, language: "typescript" as const, at: place, within: place };
  const checking = new Checking(origin, kinds, { env: {}, now: 0 });
  const raw = { name, ...options };
  checking.checkKeys(raw, [], TEST_OPTIONS);
  const test = checkWorld(checking, [], raw, testedOf(rule, fieldsOf(source.raw.config)), []);
  return { test, problems: checking.problems.map(({ message, hint }) => hint ? `${message}; ${hint}` : message) };
}

const TEST_OPTIONS = ["name", "now", "people", "config", "secrets", "env", "stub"];

/** Runs a TypeScript test in its own world. */
export async function runCodeTest(stage: Stage, { file, index, loaded, test }: CodeTest): Promise<TestResult> {
  const { at } = file.tests[index];
  const startedAt = performance.now();
  let failure: TestFailure | undefined;
  try {
    await stage.inWorld(loaded, test, async (world) => {
      const calls = new Calls(world);
      try {
        const begin = { index, seen: await look(world) };
        await stage.isolates.runTest(file.module, begin, (call) => calls.execute(call), calls.signal);
      } catch (error) {
        failure = await explain(error, at, world);
        throw error;
      } finally {
        calls.close();
      }
    });
  } catch (error) {
    failure ??= await explain(error, at);
  }
  const place = { line: at.line, column: at.column };
  const result = { rule: loaded.rule.id, file: file.module.file, at: place, name: test.name };
  return { ...result, took: performance.now() - startedAt, ...failure && { failure } };
}

/** The calls of one test. */
class Calls {
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly world: World) {
    this.#watch();
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  async execute({ kind, args }: StepCall): Promise<StepAnswer> {
    clearTimeout(this.#timer);
    try {
      if (!isEntryKind(kind)) {
        throw new TestFailed(`t.${kind} is not known; ${hintAtUnknown(kind, Object.keys(testKinds))}`);
      }
      const parsed = parseArgs(testKinds[kind], args);
      if ("problems" in parsed) {
        const problems = parsed.problems.map((problem) => problem.replace(`${kind}: `, ""));
        throw new TestFailed(`t.${kind}: ${problems.join("; ")}`);
      }
      await runEntry(this.world, { kind, args: parsed.args });
      return { kind: "result", output: asJson(await look(this.world)) };
    } catch (error) {
      return failed(error);
    } finally {
      this.#watch();
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #watch(): void {
    const late = new TestFailed(`The test did nothing for ${TIMEOUT / 1_000} s`);
    this.#timer = setTimeout(() => this.#stop.abort(late), TIMEOUT);
  }
}

function failed(error: unknown): StepAnswer {
  const detail = error instanceof TestFailed ? { detail: asJson(error.mismatches) } : {};
  return { kind: "failed", error: { name: "TestFailed", message: messageOf(error), ...detail } };
}

/** The place is where test code threw, if known. */
async function explain(error: unknown, test: DefinedTest["at"], world?: World): Promise<TestFailure> {
  const { file, line, column } = error instanceof RuleCodeError && error.at !== undefined ? error.at : test;
  const failure = await failureOf(error, { file, at: { line, column } }, world);
  const detail = error instanceof Error && "detail" in error ? error.detail : undefined;
  return Array.isArray(detail) && detail.every(isMismatch) ? { ...failure, mismatches: detail } : failure;
}

function isMismatch(value: unknown): value is Mismatch {
  return isObject(value) && typeof value.part === "string";
}

/** A `*.test.ts` file, bundled, with its `testRule` calls. */
interface TestFile {
  module: BundledModule;
  tests: DefinedTest[];
}

/** Paths of the test files of a folder, relative to it. */
export async function findTestFiles(folder: string, data: string): Promise<string[]> {
  return (await listFolder(scopeOf(folder, data))).files.filter((path) => path.endsWith(".test.ts"));
}

/** Bundles a test file and evaluates it. */
export async function readTestFile(
  file: string,
  { folder, data, isolates }: { folder: string; data: string; isolates: Isolates },
): Promise<TestFile | { problems: Problem[] }> {
  const { code, problems } = await bundle(file, folder, await esbuild(join(data, "cache")));
  const errors = problems.filter(isError);
  if (errors.length > 0) return { problems: errors };
  const version = hashVersion(file, code);
  const module = { version, file, code };
  try {
    return { module, tests: await isolates.describeTests(module) };
  } catch (error) {
    return { problems: [await problemOf(error, file, folder)] };
  }
}

async function problemOf(error: unknown, file: string, folder: string): Promise<Problem> {
  const place = error instanceof RuleCodeError && error.at !== undefined ? error.at : { file, line: 1, column: 1 };
  return await problemAt(place, `cannot be loaded: ${messageOf(error)}`, folder);
}

/** A problem of a TypeScript test. */
async function problemAt(
  { file, line, column }: DefinedTest["at"],
  message: string,
  folder: string,
): Promise<Problem> {
  const sourceLine = await readLine(join(folder, file), line);
  return { severity: "error", file, at: { line, column }, message, ...sourceLine !== undefined && { sourceLine } };
}
