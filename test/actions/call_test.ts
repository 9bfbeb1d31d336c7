import assert from "node:assert/strict";
import { call } from "../../runtime/actions/call.ts";
import { makeContext } from "./context.ts";

Deno.test("call names the module by its path within the folder", async () => {
  const context = makeContext({ folder: "/rules", ruleFolder: "/rules/ops" });
  const { output } = await call.execute({ call: "../lib/x.ts#read", with: { a: 1 } }, context);
  await call.execute({ call: "./y.ts#fn" }, context);
  await call.execute({ call: "@a/tasks/sub#say" }, context);
  await call.execute({ call: "../packages/b#say" }, context);
  assert.deepEqual(output, { called: "read" });
  assert.deepEqual(context.asked.map((asked) => asked.with), [
    { path: "lib/x.ts", name: "read", inputs: { a: 1 } },
    { path: "ops/y.ts", name: "fn", inputs: {} },
    { path: "npm:@a/tasks/sub", name: "say", inputs: {} },
    { path: "packages/b/", name: "say", inputs: {} },
  ]);
});
