import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { LogLines } from "../../bin/cli/start_log.ts";

Deno.test("lines of one event loop turn are written together, in order; those of the next turn separately", async () => {
  const writes: string[] = [];
  const lines = new LogLines({ write: (text) => writes.push(text) });
  lines.add("a\n");
  lines.add("b\n");
  assert.deepEqual(writes, []);
  await sleep(0);
  lines.add("c\n");
  await sleep(0);
  assert.deepEqual(writes, ["a\nb\n", "c\n"]);
});
