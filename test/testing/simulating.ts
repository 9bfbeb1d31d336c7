import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestResult } from "../../runtime/model/test.ts";
import { runTests, type RunTestsOptions, type TestReport } from "../../runtime/testing/run_tests.ts";

/** Runs the tests of a folder with these files. */
export async function simulate(
  files: Record<string, string>,
  options: Partial<RunTestsOptions> = {},
): Promise<TestReport> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "whenthen-simulate-")));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, "rules", path)), { recursive: true });
      await writeFile(join(root, "rules", path), text);
    }
    return await runTests({ folder: join(root, "rules"), data: join(root, "data"), ...options });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** The result of each test: its name, and the failure if it failed. */
export function outcomes({ results }: TestReport): string[] {
  return results.map(({ name, failure }) => {
    if (failure === undefined) return name;
    const parts = failure.mismatches.map((mismatch) => ` ${JSON.stringify(mismatch)}`).join("");
    return `${name}: ${failure.message}${parts}`;
  });
}

/** The mismatches, by part. */
export function mismatches({ failure }: TestResult): Record<string, unknown> {
  return Object.fromEntries(failure!.mismatches.map(({ part, expected, seen }) => [part, { expected, seen }]));
}
