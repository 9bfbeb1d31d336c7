import assert from "node:assert/strict";
import { call } from "../../runtime/actions/call.ts";
import { makeContext } from "./context.ts";

Deno.test("call names the module by its path within the folder", async () => {
  const context = makeContext({ folder: "/rules", ruleFolder: "/rules/ops" });
  const { output } = await call.execute({ call: "../lib/x.ts#read", with: { a: 1 } }, context);
  await call.execute({ call: "./y.ts#fn" }, context);
  assert.deepEqual(output, { called: "read" });
  assert.deepEqual(context.asked.map((asked) => asked.with), [
    { path: "lib/x.ts", export: "read", args: { a: 1 } },
    { path: "ops/y.ts", export: "fn", args: {} },
  ]);
});
