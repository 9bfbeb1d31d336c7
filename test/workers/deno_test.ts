import assert from "node:assert/strict";
import process from "node:process";
import { executor, never, ruleSource, scope, withIsolates } from "./harness.ts";

/** APIs that rule code written for Deno finds; the tests of the binary check that it finds the same there. */

Deno.test("Deno.env is the worker's own environment: it has no secrets, and changes stay in the worker", async () => {
  process.env.WHENTHEN_TEST_HIDDEN = "hidden";
  try {
    await withIsolates({ env: () => ({ SHOWN: "shown" }) }, async ({ isolates, module }) => {
      const code = await module(ruleSource(`
        Deno.env.set("OWN", "own");
        const { get, has, toObject } = Deno.env;
        return [get("SHOWN"), get("OWN"), has("WHENTHEN_TEST_HIDDEN"), Object.keys(toObject()).includes("WHENTHEN_TEST_HIDDEN")];`));
      const output = await isolates.runRule(code, scope(), executor(), never);
      assert.deepEqual(output, ["shown", "own", false, false]);
      assert.equal(process.env.OWN, undefined);
    });
  } finally {
    delete process.env.WHENTHEN_TEST_HIDDEN;
  }
});

Deno.test("rule code reads and writes files as on Deno", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource(`
      const folder = await Deno.makeTempDir();
      await Deno.writeTextFile(folder + "/a.txt", "one");
      await Deno.writeTextFile(folder + "/a.txt", " two", { append: true });
      const names = [];
      for await (const entry of Deno.readDir(folder)) names.push(entry.name);
      const text = await Deno.readTextFile(folder + "/a.txt");
      const { isFile, size } = await Deno.stat(folder + "/a.txt");
      await Deno.remove(folder, { recursive: true });
      const missing = await Deno.stat(folder).catch((error) => error instanceof Deno.errors.NotFound);
      return { names, text, isFile, size, missing };`));
    const output = await isolates.runRule(code, scope(), executor(), never);
    assert.deepEqual(output, { names: ["a.txt"], text: "one two", isFile: true, size: 7, missing: true });
  }));

Deno.test("rule code cannot end the program or change its directory through Deno", () =>
  withIsolates({}, async ({ isolates, module }) => {
    for (const call of [`const { exit } = Deno; exit(3)`, `Deno.chdir("/")`, `Deno.kill(1, "SIGTERM")`]) {
      const code = await module(ruleSource(call));
      await assert.rejects(isolates.runRule(code, scope(), executor(), never), /is not for rule code/, call);
    }
  }));
