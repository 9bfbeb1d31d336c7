import assert from "node:assert/strict";
import { event, manual, start } from "../../runtime/triggers/event_start_manual.ts";
import { parseArgs, Program, START } from "./fake_context.ts";

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

Deno.test("event registers its types while it is attached", async () => {
  const program = new Program(event, { event: ["order.created", "refund.*"] });
  await program.attach();
  assert.deepEqual([...program.subscriptions], [
    { rule: "test", trigger: "trigger", types: ["order.created", "refund.*"] },
  ]);
  await program.detach();
  assert.equal(program.subscriptions.size, 0);
});

Deno.test("event accepts one type, a prefix, or all, and refuses patterns that never match", () => {
  for (const type of ["order.created", "order.*", "*", "a-b_c.d2"]) assert.ok(parseArgs(event, { event: type }));
  for (const type of ["order.", "*.created", "order created", "", "order.*.paid"]) {
    assert.throws(() => parseArgs(event, { event: type }), /expected an event type such as order.created, or order/);
  }
});

Deno.test("event and manual are identified by what they listen to", () => {
  assert.equal(event.address({ event: ["a", "b.*"] }), "event a b.*");
  assert.equal(manual.address({ manual: null }), "manual");
});
