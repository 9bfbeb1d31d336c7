import assert from "node:assert/strict";
import { emit } from "../../runtime/actions/emit.ts";
import { makeContext } from "./context.ts";

Deno.test("emit returns the event; its id is the same on each attempt of the step", async () => {
  const args = { emit: "order.paid", data: { total: 7 }, subject: "A1" };
  const first = makeContext({ attempt: 1, path: "lines[3]/tell" });
  const second = makeContext({ attempt: 2, path: "lines[3]/tell" });
  const { output } = await emit.execute(args, first);
  await emit.execute(args, second);
  assert.deepEqual(first.asked, second.asked);
  assert.deepEqual(output, {
    type: "order.paid",
    data: { total: 7 },
    subject: "A1",
    id: "r1/lines[3]/tell",
    source: "/rules/test",
  });
});

Deno.test("emit uses the id from the rule; without data, data is null", async () => {
  const context = makeContext();
  await emit.execute({ emit: "order.paid", id: "A1" }, context);
  assert.deepEqual(context.asked, [{ service: "emit", with: { type: "order.paid", data: null, id: "A1" } }]);
});

Deno.test("emit refuses an empty type and an empty id", async () => {
  await assert.rejects(async () => await emit.execute({ emit: "" }, makeContext()), {
    name: "TerminalError",
    message: /empty type/,
  });
  await assert.rejects(async () => await emit.execute({ emit: "a", id: "" }, makeContext()), {
    name: "TerminalError",
    message: /empty id/,
  });
});
