import { createHash } from "node:crypto";
import { join } from "node:path";
import type { BundledModule, DefinedTest, Isolates } from "../workers/workers.ts";
import { RuleCodeError } from "../workers/workers.ts";
import { esbuild } from "../folder/typescript/esbuild.ts";
import { listFolder, scopeOf } from "../folder/folder.ts";
import { bundle, readLine } from "../folder/typescript/typescript_bundle.ts";
import { messageOf } from "../model/errors.ts";
import type { Problem } from "../model/problem.ts";

/** A `*.test.ts` file, bundled, with its `testRule` calls. */
export interface TestFile {
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
  const errors = problems.filter(({ severity }) => severity === "error");
  if (errors.length > 0) return { problems: errors };
  const version = createHash("sha256").update(file).update(code).digest("hex").slice(0, 16);
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
export async function problemAt(
  { file, line, column }: DefinedTest["at"],
  message: string,
  folder: string,
): Promise<Problem> {
  const sourceLine = await readLine(join(folder, file), line);
  return { severity: "error", file, at: { line, column }, message, ...sourceLine !== undefined && { sourceLine } };
}
