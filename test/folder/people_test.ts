import assert from "node:assert/strict";
import { heads, TestFolder } from "./loading.ts";

const RULE =
  "when: manual\nthen:\n  - form: Refund?\n    to: [finance, bob@example.org]\n    escalate: { after: 1d, to: cfo }\n";
const ACTION = "inputs: {}\nthen:\n  - form: Refund?\n    to: finance\n";

Deno.test("a form for an unknown person is a problem until the settings have them, in actions too", async () => {
  await using folder = await TestFolder.with({ "a.yaml": RULE, "b.yaml": ACTION });
  assert.deepEqual(heads(await folder.load()), [
    'a.yaml:4:10: unknown person or group "finance"',
    'a.yaml:5:32: unknown person or group "cfo"',
    'b.yaml:4:9: unknown person or group "finance"',
  ]);
  await folder.write({ "whenthen.yaml": "people: { anna: { groups: [finance] }, cfo: {} }\n" });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), ["b.yaml:2:1: warning: nothing calls this action, so it never runs"]);
  assert.ok(loaded.rules.has("a"));
  await folder.write({ "whenthen.yaml": "people: { anna: { groups: [finanse] }, cfo: {} }\n" });
  assert.match((await folder.load()).problems[0].hint!, /did you mean finanse/);
});
