import assert from "node:assert/strict";
import { isStep, stepNames, withoutIterations } from "../../runtime/language/expectation.ts";

Deno.test("a step is named by its path or a suffix of it, with and without iterations", () => {
  const path = "week/lines[3]/save#2";
  for (const name of [path, "week/lines/save", "lines[3]/save#2", "lines/save", "save#2", "save"]) {
    assert.ok(isStep(name, path), name);
  }
  for (const name of ["week", "lines[3]", "ave", "lines[2]/save#2", "lines[3]/save"]) {
    assert.ok(!isStep(name, path), name);
  }
  assert.ok(isStep("mail", "approval/remind@1/mail"));
  assert.ok(isStep("hourly[2]", "week/hourly[2]"));
});

Deno.test("the longest name comes first", () => {
  assert.deepEqual(stepNames("lines[3]/save"), ["lines[3]/save", "lines/save", "save", "save"]);
});

Deno.test("withoutIterations() leaves items, turns, reminders and repeated names out", () => {
  assert.equal(withoutIterations("a[0]/b@2/c#3/d"), "a/b/c/d");
});
