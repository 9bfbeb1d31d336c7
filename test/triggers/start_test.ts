import assert from "node:assert/strict";
import { start } from "../../runtime/triggers/start.ts";
import { Program, START } from "./fake_context.ts";

Deno.test("start emits once each time the program starts, not on reload", async () => {
  const first = new Program(start, { start: null });
  await first.attach();
  await first.detach();
  first.clock.jumpTo(START + 5_000);
  await first.attach();
  assert.deepEqual(first.ids, ["2026-11-23T07:00:00.000Z"]);
  await first.detach();
  const second = first.restarted();
  await second.attach();
  assert.deepEqual(second.ids, ["2026-11-23T07:00:05.000Z"]);
  await second.detach();
});
