import assert from "node:assert/strict";
import { log } from "../../runtime/actions/log.ts";
import { makeContext } from "./context.ts";

Deno.test("log writes the line with its origin, at level info by default", async () => {
  const context = makeContext();
  await log.execute({ log: "hello" }, context);
  await log.execute({ log: "hello", level: "warn", data: { a: 1 } }, context);
  const details = { rule: "test", run: "r1", step: "step" };
  assert.deepEqual(context.asked.map((asked) => asked.with), [
    { level: "info", message: "hello", details },
    { level: "warn", message: "hello", details: { ...details, data: { a: 1 } } },
  ]);
});
