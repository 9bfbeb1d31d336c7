import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { limitBeside } from "../../runtime/workers/open_workers.ts";
import { RuleCodeError } from "../../runtime/workers/workers.ts";
import { executor, never, ruleSource, scope, withIsolates } from "./harness.ts";

Deno.test("a run that uses too much memory ends its worker and is blamed", () =>
  withIsolates({ memoryLimit: 300e6 }, async ({ isolates, module }) => {
    const code = await module(ruleSource(`
      const kept = [];
      for (;;) { kept.push(new Uint8Array(4e6).fill(1)); await new Promise((resolve) => setTimeout(resolve, 1)); }`));
    for (const alone of [false, true]) {
      const failed = isolates.runRule(code, scope({ alone }), executor(), never);
      await assert.rejects(failed, (error: RuleCodeError) => {
        assert.ok(error instanceof RuleCodeError && error.blocked, String(error));
        assert.match(error.message, /because of memory: the program used \d+ MB, its limit is \d+ MB/);
        return true;
      });
    }
  }));

Deno.test("memory of the store and its checkpoints is not blamed on rules, up to the machine's memory", () => {
  assert.equal(limitBeside(0, 1.5e9), 1.5e9);
  assert.equal(limitBeside(1, 1e18), 1e18, "never below the limit itself");
  assert.ok(limitBeside(1e18, 1e6) < 1e15);
});

// In a separate process: concurrent tests are threads of this one, and their memory would be counted, too.
Deno.test("80 discarded workers leave memory about unchanged", async () => {
  const program = new URL("./discarded_workers.ts", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(Deno.execPath(), ["run", "-A", "--no-check", program]);
  const { grown, left } = JSON.parse(stdout);
  assert.equal(left, 0);
  assert.ok(grown < 50, `${grown} MB`);
});
