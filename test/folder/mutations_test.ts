import assert from "node:assert/strict";
import fc from "fast-check";
import { formatProblem } from "../../runtime/model/problem.ts";
import { heads, TestFolder } from "./loading.ts";

const GOOD = `name: Disk alert
when:
  - poll: { run: ./disks.sh }
    every: 5m
    key: item.mount
    on: [changed]
  - webhook: /in/:x
    auth: none
    within: 10m
if:
  - event.data.old.used <= config.threshold
  - "!has(event.data.skip)"
config:
  threshold: 85
  mail: { type: email, required: false }
key: event.subject
mode: queued
limit: 10/s
then:
  - id: tell
    http: POST https://hooks.example.org/\${{ event.subject }}
    json: { text: "\${{ event.subject }} is \${{ event.data.new.used }} % full", n: [1, 2, null] }
    retry: { attempts: 5, delay: 1s }
    onError:
      - log: it failed
  - if: steps.tell.status == 200
    then:
      - call: ./lib/tell.yaml
        with: { text: hi }
    else:
      - stop: no
  - run: [echo, "\${{ secrets.TOKEN }}"]
onError:
  - emit: failed
    data: \${{ error }}
`;

const PIECES = fc.constantFrom(
  ..."null| |\n|\n  |\n- |: |when|then|if|${{ |}}|{|}|[|]|'|\"|!|*|&|#|1e999|-1|true|~|@|x: y\n|é😀|\t|__proto__|constructor|toString|\r|\u2028|\u2029|\u0085|\0|\ud800"
    .split("|"),
);

/** A valid rule with some pieces cut out, duplicated or replaced. */
const mutated = fc.array(fc.tuple(fc.nat(GOOD.length), fc.nat(40), PIECES), { minLength: 1, maxLength: 4 }).map((
  edits,
) => edits.reduce((text, [at, cut, piece]) => text.slice(0, at) + piece + text.slice(at + cut), GOOD));

Deno.test("any mutation of a rule file gives rules or problems with positions, never an exception", async () => {
  const action = "inputs: { text: { type: text } }\nthen:\n  - log: hi\n";
  await using folder = await TestFolder.with({ "lib/tell.yaml": action, "good.yaml": GOOD.replace("/in/:x", "/good") });
  assert.deepEqual(heads(await folder.load()), ["good.yaml:32:22: warning: the secret TOKEN is not set"]);
  await fc.assert(
    fc.asyncProperty(fc.array(mutated, { minLength: 20, maxLength: 20 }), async (texts) => {
      await folder.write(Object.fromEntries(texts.map((text, index) => [`bad${index}.yaml`, text])));
      const { problems, rules, broken } = await folder.load();
      assert.ok(rules.has("good"));
      for (const file of broken.keys()) assert.ok(problems.some((problem) => problem.severity === "error"), file);
      for (const problem of problems) {
        const lines = problem.file.startsWith("bad")
          ? texts[Number(/\d+/.exec(problem.file)![0])].split("\n")
          : undefined;
        assert.ok(!lines || problem.at.line <= lines.length, formatProblem(problem));
        assert.ok(formatProblem(problem).startsWith(`${problem.file}:`));
        assert.doesNotMatch(problem.message, /^this file cannot be loaded/);
      }
    }),
    { numRuns: 20 },
  );
});
