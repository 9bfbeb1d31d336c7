import fc from "fast-check";
import assert from "node:assert/strict";
import { stopEsbuild } from "../../runtime/folder/typescript/typescript_bundle.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { openIsolates } from "../../runtime/workers/open_workers.ts";
import { heads, shown, TestFolder } from "./loading.ts";

const FILES = {
  "orders/paid.yaml": `when:
  cron: "0 8 * * *"
if: evnt.data.total > 5
then:
  - id: tell
    http: POST https://example.org/
    retyr: 3
  - id: tell
    log: two
`,
  "ops/clean.yaml": `when:
  cron: */5 * * * *
then:
  - log: hi
`,
  "ops/hook.yaml": `when:
  webhook: /in
  auth: none
if: !event.data.draft
then:
  - call: ./lib/tel.yaml
  - run: echo \${{ event.data.x }}
`,
  "ops/lib/tell.yaml": `inputs:
  text: { type: txt }
then:
  - log: \${{ inputs.tex }}
    level: #warn
`,
  "ops/report.ts": `import { rule } from "whenthen";

export default rule({
  when: { crn: "0 8 * * *" },
  then: () => {},
} as never);
`,
  "config.yaml": `op/hook:
  enabled: false
`,
};

const EXPECTED = `config.yaml:1:1: there is no rule "op/hook"
    op/hook:
    ^^^^^^^
    did you mean "ops/hook"?
ops/clean.yaml:2:9: a value that begins with "*" reads as a YAML alias
      cron: */5 * * * *
            ^^^^^^^^^^^
    quote it: cron: "*/5 * * * *"
ops/hook.yaml:4:5: "!event.data.draft" reads as a YAML tag
    if: !event.data.draft
        ^^^^^^^^^^^^^^^^^
    quote it: if: "!event.data.draft"
ops/hook.yaml:6:11: ./lib/tel.yaml does not exist
      - call: ./lib/tel.yaml
              ^^^^^^^^^^^^^^
    did you mean "./lib/tell.yaml"?
ops/hook.yaml:7:15: an expression inside a shell command: its value would run as code
      - run: echo \${{ event.data.x }}
                  ^^^^^^^^^^^^^^^^^^^
    write it as a list, run: [command, "\${{ x }}"], or pass it by env: or stdin:
ops/lib/tell.yaml:2:17: expected one of "text", "number", "integer", "boolean", "choice", "list", "duration", "date", "email", "url", "ip", "port", "path", "secret", "file", got "txt"
      text: { type: txt }
                    ^^^
    did you mean "text"?
ops/lib/tell.yaml:4:14: unknown inputs.tex
      - log: \${{ inputs.tex }}
                 ^^^^^^^^^^
    did you mean "inputs.text"?
ops/lib/tell.yaml:5:12: "level" has no value: "#" begins a comment
        level: #warn
               ^^^^^
    quote it: level: "#warn"
ops/report.ts:4:11: when: expected one of "cron", "every", "at", "webhook", "poll", "watch", "event", "start", "manual", got "crn"
      when: { crn: "0 8 * * *" },
              ^^^
    did you mean "cron"?
orders/paid.yaml:3:5: unknown name "evnt"
    if: evnt.data.total > 5
        ^^^^^^^^^^^^^^^
    did you mean "event"?
orders/paid.yaml:7:5: unknown key "retyr"
        retyr: 3
        ^^^^^
    did you mean "retry"?
orders/paid.yaml:8:9: the step id "tell" is used twice
      - id: tell
            ^^^^
    give one of the two another id`;

Deno.test("twelve mistakes in six files are twelve problems, each at its position with a remedy", async () => {
  const isolates = openIsolates({
    secrets: () => ({}),
    onSecret: () => {},
    env: () => ({}),
    onLog: () => {},
  });
  await using folder = await TestFolder.with(FILES, { isolates });
  const loaded = await folder.load();
  assert.equal(shown(loaded).join("\n"), EXPECTED);
  assert.equal(loaded.problems.length, 12);
  assert.ok(loaded.problems.every(({ hint }) => hint !== undefined));
  assert.equal(loaded.rules.size, 0);
  await isolates.close();
  await stopEsbuild();
});

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
