import assert from "node:assert/strict";
import { recordError } from "../../runtime/model/errors.ts";
import { reviveThrown } from "../../runtime/workers/thrown.ts";

Deno.test("stack frames of rule code are recorded, those of the program are not", () => {
  assert.deepEqual(recordError(new TypeError("no")), { name: "TypeError", message: "no" });
  const stack = "TypeError: no\n    at then (a.ts:3:9)";
  const thrown = reviveThrown({ name: "TypeError", message: "no", stack });
  assert.deepEqual(recordError(thrown), { name: "TypeError", message: "no", stack });
});
