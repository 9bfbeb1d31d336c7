import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { outcomes, simulate } from "./simulating.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

Deno.test("a file saved in a test has the size and hash of the stub's answer, and is not written", async () => {
  const report = await simulate({
    "a.yaml": `when: { event: a }
then:
  - { id: get, http: https://example.org/a.csv, save: a.csv }
  - { id: list, run: [./list.sh], save: "\${{ event.data.name }}" }
  - log: "\${{ steps.get.body.path }}"
tests:
  - name: saved
    stub:
      http: { headers: { content-type: text/csv }, body: "id\\n1\\n" }
      run: { stdout: "żółć", stderr: "err" }
    do:
      - send: { type: a, data: { name: list.txt } }
      - expect:
          run: succeeded
          steps:
            get: { output: { body: { name: a.csv, type: text/csv, bytes: 5, sha256: ${sha256("id\n1\n")} } } }
            list: { output: { code: 0, stdout: { name: list.txt, bytes: 8, sha256: ${
      sha256("żółć")
    } }, stderr: err, json: null } }
  - name: wrong name
    stub: { http: { body: x }, run: {} }
    do:
      - send: { type: a, data: { name: ../list.txt } }
      - expect: { run: failed }
`,
    "b.ts": `import { event, rule, type SavedFile } from "whenthen";
export default rule({ when: event("a"), then: async ({ step }) => {
  const { body } = await step.http("get", "https://example.org/", { save: "a.txt" });
  const { stdout, dropped } = await step.run("list", ["ls"], { save: "b.txt", keep: "tail" });
  const files: SavedFile[] = [body, stdout];
  await step.log("say", files.map(({ name, bytes }) => name + " " + bytes).join(", ") + " " + dropped?.stderr);
} });
`,
    "b.test.ts": `import { testRule } from "whenthen";
import b from "./b.ts";
testRule(b, "in code", { stub: { http: { body: "abc" }, run: { stdout: "de" } } }, async (t) => {
  await t.send({ type: "a" });
  t.expect({ run: "succeeded", logs: ["a.txt 3, b.txt 2 0"] });
});
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report).sort(), ["in code", "saved", "wrong name"]);
  assert.ok(!existsSync("/files"));
});
