import assert from "node:assert/strict";
import { openIsolates } from "../../runtime/workers/open_workers.ts";
import { stopEsbuild } from "../../runtime/folder/typescript/esbuild.ts";
import { shown, TestFolder } from "./loading.ts";

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
    did you mean ./lib/tell.yaml?
ops/hook.yaml:7:15: an expression inside a shell command: its value would run as code
      - run: echo \${{ event.data.x }}
                  ^^^^^^^^^^^^^^^^^^^
    write it as a list, run: [command, "\${{ x }}"], or pass it by env: or stdin:
ops/lib/tell.yaml:2:17: expected one of "text", "number", "integer", "boolean", "choice", "list", "duration", "date", "email", "url", "ip", "port", "path", "secret", got "txt"
      text: { type: txt }
                    ^^^
    did you mean "text"?
ops/lib/tell.yaml:4:14: unknown inputs.tex
      - log: \${{ inputs.tex }}
                 ^^^^^^^^^^
    did you mean inputs.text?
ops/lib/tell.yaml:5:12: "level" has no value: "#" begins a comment
        level: #warn
               ^^^^^
    quote it: level: "#warn"
ops/report.ts:3:16: when: expected one of "cron", "every", "at", "webhook", "poll", "watch", "event", "start", "manual", got "crn"
    export default rule({
                   ^^^^
    did you mean "cron"?
orders/paid.yaml:3:5: unknown name "evnt"
    if: evnt.data.total > 5
        ^^^^^^^^^^^^^^^
    did you mean event?
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
