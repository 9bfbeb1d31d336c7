import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../e2e/command.ts";
import { copyExample, ROOT } from "./example.ts";

/** The examples that have tests of their own, with how many. */
async function examplesWithTests(): Promise<[example: string, tests: number][]> {
  const found: [string, number][] = [];
  for (const example of (await readdir(join(ROOT, "examples"))).sort()) {
    const files = await readdir(join(ROOT, "examples", example), { recursive: true }).catch(() => []);
    const own = files.filter((file) => /\.(yaml|test\.ts)$/.test(file) && !/node_modules|^\./.test(file));
    const texts = await Promise.all(own.map((file) => readFile(join(ROOT, "examples", example, file), "utf8")));
    const count = texts.reduce((sum, text) => sum + testsIn(text), 0);
    if (count > 0) found.push([example, count]);
  }
  return found;
}

function testsIn(text: string): number {
  const [, inYaml = ""] = text.split(/^tests:/m);
  return [...inYaml.matchAll(/^ {2}- name:/gm), ...text.matchAll(/^testRule\(/gm)].length;
}

for (const [example, tests] of await examplesWithTests()) {
  Deno.test(`example ${example}: its own tests pass`, async () => {
    await using folder = await copyExample(example);
    const { code, stdout } = await command("test", folder.rules, "--data", folder.data);
    assert.equal(code, 0, stdout);
    assert.ok(stdout.includes(`\n${tests} test${tests === 1 ? "" : "s"} passed, 0 failed\n`), stdout);
  });
}
