import assert from "node:assert/strict";
import { checkFolder } from "../../runtime/app/check_folder.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { TestFolder } from "./loading.ts";

/** Files with what `check` says about each, to the letter; nothing about those that look wrong only to other tools. */
const ADVICE: Record<string, [text: string, expected: string]> = {
  "braces.yaml": [
    `when: { poll: "https://example.org/{{ env.HOME }}", key: item.id }
then:
  - log: "order {{ event.data.id }} of {{ name }}"
    if: "{{ event.data.paid }}"
  - http: POST https://example.org/
    json: { ids: ["{{ event.data.id }}", "\${{ '{{ event.id }}' }}", "$\${{ event.id }}"] }
  - run: echo {{ event.data.id }}
  - run: [docker, ps, --format, "{{ .Names }}"]
`,
    `braces.yaml:1:36: warning: {{ env.HOME }} is plain text: an expression begins with \${{
    when: { poll: "https://example.org/{{ env.HOME }}", key: item.id }
                                       ^^^^^^^^^^^^^^
    write \${{ env.HOME }}
braces.yaml:3:17: warning: {{ event.data.id }} is plain text: an expression begins with \${{
      - log: "order {{ event.data.id }} of {{ name }}"
                    ^^^^^^^^^^^^^^^^^^^
    write \${{ event.data.id }}
braces.yaml:4:9: this is an expression already, so it takes no {{ }}
        if: "{{ event.data.paid }}"
            ^^^^^^^^^^^^^^^^^^^^^^^
    write event.data.paid
braces.yaml:6:20: warning: {{ event.data.id }} is plain text: an expression begins with \${{
        json: { ids: ["{{ event.data.id }}", "\${{ '{{ event.id }}' }}", "$\${{ event.id }}"] }
                       ^^^^^^^^^^^^^^^^^^^
    write \${{ event.data.id }}
braces.yaml:7:15: warning: {{ event.data.id }} is plain text: an expression begins with \${{
      - run: echo {{ event.data.id }}
                  ^^^^^^^^^^^^^^^^^^^
    write it as a list, run: [command, "\${{ event.data.id }}"]`,
  ],
  "braces_in_code.ts": [
    `import { event, rule } from "whenthen";

export default rule({
  when: event("order.paid"),
  key: "{{ event.subject }}",
  then: async ({ step }) => {
    await step.log("paid", "order {{ event.data.id }} of {{ name }}");
  },
});
`,
    `braces_in_code.ts:5:8: key: this is an expression already, so it takes no {{ }}
      key: "{{ event.subject }}",
           ^^^^^^^^^^^^^^^^^^^^^
    write event.subject
braces_in_code.ts:7:35: warning: {{ event.data.id }} is plain text
        await step.log("paid", "order {{ event.data.id }} of {{ name }}");
                                      ^^^^^^^^^^^^^^^^^^^
    use a template literal: \`\${event.data.id}\``,
  ],
  "not_exported.ts": [
    `import { cron, rule } from "whenthen";

export const morning = rule({ when: cron("0 8 * * *"), then: () => {} });
`,
    `not_exported.ts:3:24: warning: this rule does not run: only the default export of a file is a rule
    export const morning = rule({ when: cron("0 8 * * *"), then: () => {} });
                           ^^^^
    write export default rule({ … }), each rule in a file of its own`,
  ],
  "not_exported_at_all.ts": [
    `import { cron, rule } from "whenthen";

rule({ when: cron("0 8 * * *"), then: () => {} });
`,
    `not_exported_at_all.ts:3:1: warning: this rule does not run: only the default export of a file is a rule
    rule({ when: cron("0 8 * * *"), then: () => {} });
    ^^^^
    write export default rule({ … }), each rule in a file of its own`,
  ],
  "imports_a_rule.ts": [
    `import { morning } from "./not_exported.ts";

export const copy = morning;
`,
    "",
  ],
  "method.yaml": [
    `when: { poll: GTE https://example.org/, key: item.id }
then:
  - http: POTS https://example.org/
  - http: FROBNICATE https://example.org/
  - http: PROPFIND https://example.org/
`,
    `method.yaml:1:15: warning: there is no HTTP method "GTE"
    when: { poll: GTE https://example.org/, key: item.id }
                  ^^^
    did you mean "GET"?
method.yaml:3:11: warning: there is no HTTP method "POTS"
      - http: POTS https://example.org/
              ^^^^
    did you mean "POST"?
method.yaml:4:11: warning: there is no HTTP method "FROBNICATE"
      - http: FROBNICATE https://example.org/
              ^^^^^^^^^^
    the usual ones are GET, POST, PUT, PATCH and DELETE`,
  ],
  "lower_case.yaml": [
    `when: start
then: [{ http: post https://example.org/ }]
`,
    `lower_case.yaml:2:16: expected a URL such as https://example.org/, got "post https://example.org/"
    then: [{ http: post https://example.org/ }]
                   ^^^^^^^^^^^^^^^^^^^^^^^^^
    write POST https://example.org/`,
  ],
  "method_in_code.ts": [
    `import { poll, rule } from "whenthen";

export default rule({
  when: poll("GTE https://example.org/", { key: "item.id" }),
  then: async ({ step }) => {
    await step.http("send", "POTS https://example.org/");
    await step.http("find", "PROPFIND https://example.org/");
  },
});
`,
    `method_in_code.ts:4:15: warning: when.poll: there is no HTTP method "GTE"
      when: poll("GTE https://example.org/", { key: "item.id" }),
                  ^^^
    did you mean "GET"?
method_in_code.ts:6:30: warning: there is no HTTP method "POTS"
        await step.http("send", "POTS https://example.org/");
                                 ^^^^
    did you mean "POST"?`,
  ],
  "program.yaml": [
    `when:
  - poll: { run: [no-such-lister] }
    key: item.id
  - poll: { run: ./list.sh }
    key: item.id
    name: other
then:
  - run: [no-such-program, x]
  - run: cd /tmp && no-such-filter x | sort
  - run: FOO=1 no-such-one
  - run: [./missing.sh]
  - run: [sh, -c, no-such-inner]
  - run: [tool]
    env: { PATH: /opt/tools }
`,
    `program.yaml:2:11: warning: there is no program "no-such-lister" in PATH
      - poll: { run: [no-such-lister] }
              ^
    install it where the rules run, or correct its name
program.yaml:4:11: warning: there is no program "./list.sh"
      - poll: { run: ./list.sh }
              ^
    it is looked up at list.sh in the rules folder
program.yaml:8:5: warning: there is no program "no-such-program" in PATH
      - run: [no-such-program, x]
        ^^^
    install it where the rules run, or correct its name
program.yaml:9:5: warning: there is no program "no-such-filter" in PATH
      - run: cd /tmp && no-such-filter x | sort
        ^^^
    install it where the rules run, or correct its name
program.yaml:11:5: warning: there is no program "./missing.sh"
      - run: [./missing.sh]
        ^^^
    it is looked up at missing.sh in the rules folder`,
  ],
  "lib/tell.yaml": [
    `inputs: { text: { type: text } }
then:
  - run: [./tell.sh, "\${{ inputs.text }}"]
`,
    `lib/tell.yaml:3:5: warning: there is no program "./tell.sh"
      - run: [./tell.sh, "\${{ inputs.text }}"]
        ^^^
    it is looked up at lib/tell.sh in the rules folder`,
  ],
  "calls.yaml": [
    `when: start
then: [{ call: ./lib/tell.yaml, with: { text: hi } }]
`,
    "",
  ],
  "commands/tool.yaml": [
    `command: no-such-tool
inputs: { file: { type: text } }
`,
    `commands/tool.yaml:1:10: warning: there is no program "no-such-tool" in PATH
    command: no-such-tool
             ^^^^^^^^^^^^
    install it where the rules run, or correct its name`,
  ],
  "program_in_code.ts": [
    `import { rule, start } from "whenthen";

export default rule({
  when: start(),
  then: async ({ step }) => {
    await step.run("one", ["no-such-program", "x"]);
    await step.run("two", "sort x | no-such-filter");
  },
});
`,
    `program_in_code.ts:6:27: warning: there is no program "no-such-program" in PATH
        await step.run("one", ["no-such-program", "x"]);
                              ^^^^^^^^^^^^^^^^^^^^^^^^
    install it where the rules run, or correct its name
program_in_code.ts:7:27: warning: there is no program "no-such-filter" in PATH
        await step.run("two", "sort x | no-such-filter");
                              ^^^^^^^^^^^^^^^^^^^^^^^^^
    install it where the rules run, or correct its name`,
  ],
  "watch.yaml": [
    `when:
  - watch: ./inbox/*.csv
  - watch: ./outbox
  - watch: ./flags/ready.txt
  - watch: ./ready.txt
  - watch: ./lib/*.txt
then: [{ log: hi }]
`,
    `watch.yaml:2:12: warning: there is no folder FOLDER/inbox, so nothing is watched until it is made
      - watch: ./inbox/*.csv
               ^^^^^^^^^^^^^
    make it, or correct the path: it is relative to the file of the rule
watch.yaml:3:12: warning: there is no folder FOLDER/outbox, so nothing is watched until it is made
      - watch: ./outbox
               ^^^^^^^^
    make it, or correct the path: it is relative to the file of the rule
watch.yaml:4:12: warning: there is no folder FOLDER/flags, so nothing is watched until it is made
      - watch: ./flags/ready.txt
               ^^^^^^^^^^^^^^^^^
    make it, or correct the path: it is relative to the file of the rule`,
  ],
  "watch_in_code.ts": [
    `import { rule, watch } from "whenthen";

export default rule({ when: watch("./inbox/*.csv"), then: () => {} });
`,
    `watch_in_code.ts:3:35: warning: there is no folder FOLDER/inbox, so nothing is watched until it is made
    export default rule({ when: watch("./inbox/*.csv"), then: () => {} });
                                      ^^^^^^^^^^^^^^^
    make it, or correct the path: it is relative to the file of the rule`,
  ],
  "github.yaml": [
    `name: CI
on: { push: { branches: [main] } }
jobs:
  build: { steps: [{ uses: actions/checkout@v4 }] }
`,
    `github.yaml:2:1: unknown key "on"
    on: { push: { branches: [main] } }
    ^^
    here it is called "when"
github.yaml:3:1: unknown key "jobs"
    jobs:
    ^^^^
    here it is called "then"`,
  ],
  "home_assistant.yaml": [
    `alias: Lamp
trigger: [{ platform: time, at: "08:00" }]
condition: []
action: [{ service: light.turn_on }]
`,
    `home_assistant.yaml:1:1: unknown key "alias"
    alias: Lamp
    ^^^^^
    here it is called "name"
home_assistant.yaml:2:1: unknown key "trigger"
    trigger: [{ platform: time, at: "08:00" }]
    ^^^^^^^
    here it is called "when"
home_assistant.yaml:3:1: unknown key "condition"
    condition: []
    ^^^^^^^^^
    here it is called "if"
home_assistant.yaml:4:1: unknown key "action"
    action: [{ service: light.turn_on }]
    ^^^^^^
    here it is called "then"`,
  ],
  "action_of_others.yaml": [
    `inputs: { text: { type: text } }
trigger: { event: a }
then: [{ log: hi }]
`,
    `action_of_others.yaml:2:1: unknown key "trigger"
    trigger: { event: a }
    ^^^^^^^
    here it is called "when"`,
  ],
  "steps_of_others.yaml": [
    `when: { schedule: 0 8 * * * }
then:
  - shell: ./x.sh
  - uses: ./lib/tell.yaml
  - delay: 5m
  - http: https://example.org/
    condition: event.data.x
`,
    `steps_of_others.yaml:1:9: expected one of "cron", "every", "at", "webhook", "poll", "watch", "event", "start", "manual", got "schedule"
    when: { schedule: 0 8 * * * }
            ^^^^^^^^
    here it is called "cron"
steps_of_others.yaml:3:5: expected one of "http", "run", "call", "emit", "log", "mail", "patch", "reply", "state", "task", "wait", "waitFor", "form", "if", "each", "parallel", "repeat", "stop", got "shell"
      - shell: ./x.sh
        ^^^^^
    here it is called "run"
steps_of_others.yaml:4:5: expected one of "http", "run", "call", "emit", "log", "mail", "patch", "reply", "state", "task", "wait", "waitFor", "form", "if", "each", "parallel", "repeat", "stop", got "uses"
      - uses: ./lib/tell.yaml
        ^^^^
    here it is called "call"
steps_of_others.yaml:5:5: expected one of "http", "run", "call", "emit", "log", "mail", "patch", "reply", "state", "task", "wait", "waitFor", "form", "if", "each", "parallel", "repeat", "stop", got "delay"
      - delay: 5m
        ^^^^^
    here it is called "wait"
steps_of_others.yaml:7:5: unknown key "condition"
        condition: event.data.x
        ^^^^^^^^^
    here it is called "if"`,
  ],
  "trigger_in_code.ts": [
    `import { cron, rule } from "whenthen";

export default rule({ trigger: cron("0 8 * * *"), action: () => {} } as never);
`,
    `trigger_in_code.ts:3:23: unknown key "trigger"
    export default rule({ trigger: cron("0 8 * * *"), action: () => {} } as never);
                          ^^^^^^^
    here it is called "when"
trigger_in_code.ts:3:51: unknown key "action"
    export default rule({ trigger: cron("0 8 * * *"), action: () => {} } as never);
                                                      ^^^^^^
    here it is called "then"`,
  ],
  "comma.ts": [
    `import { cron, rule } from "whenthen";

export default rule({
  when: cron("0 8 * * *")
  then: () => {},
});
`,
    `comma.ts:5:3: expected "," or "}" but found "then"
      then: () => {},
      ^^^^
    put a comma before it, or close what stands before it with }`,
  ],
  "comma_in_call.ts": [
    `import { cron, rule } from "whenthen";

export default rule({
  when: cron("0 8 * * *"),
  then: async ({ step }) => {
    await step.log("a" "b");
  },
});
`,
    `comma_in_call.ts:6:24: expected "," or ")" but found "\\"b\\""
        await step.log("a" "b");
                           ^^^
    put a comma before it, or close what stands before it with )`,
  ],
  "comma_in_list.ts": [
    `export const list = [1 2];
`,
    `comma_in_list.ts:1:24: expected "," or "]" but found "2"
    export const list = [1 2];
                           ^
    put a comma before it, or close what stands before it with ]`,
  ],
  "unclosed.ts": [
    `export const list = { a: 1;
`,
    `unclosed.ts:1:27: expected "}" but found ";"
    export const list = { a: 1;
                              ^
    write }`,
  ],
  "no_steps.ts": [
    `import { cron, rule } from "whenthen";

export default rule({ when: cron("0 8 * * *") } as never);
`,
    `no_steps.ts:3:21: "then" is missing
    export default rule({ when: cron("0 8 * * *") } as never);
                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^
    write then: async ({ event, step }) => { … }`,
  ],
  "text_as_steps_in_code.ts": [
    `import { cron, rule } from "whenthen";

export default rule({ when: cron("0 8 * * *"), then: "log", onError: "log" } as never);
`,
    `text_as_steps_in_code.ts:3:54: then: expected a function, got "log"
    export default rule({ when: cron("0 8 * * *"), then: "log", onError: "log" } as never);
                                                         ^^^^^
    write then: async ({ event, step }) => { … }
text_as_steps_in_code.ts:3:70: onError: expected a list of steps, got "log"
    export default rule({ when: cron("0 8 * * *"), then: "log", onError: "log" } as never);
                                                                         ^^^^^
    write each step as an object, as in [{ log: "hello" }]`,
  ],
  "wrong_steps.ts": [
    `import { rule } from "whenthen";

export default rule({ when: [], then: () => {}, onError: [] } as never);
`,
    `wrong_steps.ts:3:29: when: expected at least one trigger, got an empty list
    export default rule({ when: [], then: () => {}, onError: [] } as never);
                                ^^
    add a trigger, as in cron("0 8 * * *")
wrong_steps.ts:3:58: onError: expected at least one step, got an empty list
    export default rule({ when: [], then: () => {}, onError: [] } as never);
                                                             ^^
    add a step, as in { log: "hello" }`,
  ],
  "text_as_step.ts": [
    `import { rule } from "whenthen";

export default rule({ when: [5], then: () => {}, onError: ["hello"] } as never);
`,
    `text_as_step.ts:3:30: when[0]: expected a trigger, got 5
    export default rule({ when: [5], then: () => {}, onError: ["hello"] } as never);
                                 ^
    write it as in cron("0 8 * * *")
text_as_step.ts:3:60: onError[0]: expected a step, got "hello"
    export default rule({ when: [5], then: () => {}, onError: ["hello"] } as never);
                                                               ^^^^^^^
    write a step, as in { log: "hello" }`,
  ],
  "text_as_steps.yaml": [
    `when: start
then: log
`,
    `text_as_steps.yaml:2:7: expected a list of steps, got "log"
    then: log
          ^^^
    write each step on a line that begins with -`,
  ],
  "pasted.yaml": [
    `when: { webhook: /a, auth: github, secret: ghp_abcdefghijklmnop0123456789ABCDEF, methd: POST }
then: [{ log: "\${{ secrets.ghp_abcdefghijklmnop0123456789ABCDEF }}" }]
`,
    `pasted.yaml:1:44: warning: this looks like the value of a secret, not like its name
    when: { webhook: /a, auth: github, secret: ************************************, methd: POST }
                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here
pasted.yaml:1:82: unknown key "methd"
    when: { webhook: /a, auth: github, secret: ************************************, methd: POST }
                                                                                     ^^^^^
    did you mean "method"?
pasted.yaml:2:20: warning: this looks like the value of a secret, not like its name
    then: [{ log: "\${{ ******************************************** }}" }]
                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here`,
  ],
  "pasted_password.yaml": [
    `when: { webhook: /b, auth: github, secret: "s3cret! passw0rd" }
then: [{ log: hi }]
`,
    `pasted_password.yaml:1:44: expected the name of a secret such as GITHUB_SECRET, or a list of names, not a value
    when: { webhook: /b, auth: github, secret: ****************** }
                                               ^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here`,
  ],
  "pasted_list.yaml": [
    `when:
  webhook: /c
  auth: github
  secret: [GITHUB_SECRET, "s3cret! passw0rd", "0ther passw0rd"]
then: [{ log: hi }]
`,
    `pasted_list.yaml:4:12: warning: the secret GITHUB_SECRET is not set
      secret: [GITHUB_SECRET, ******************, ****************]
               ^^^^^^^^^^^^^
    set it in the environment, in .env or in a mounted folder
pasted_list.yaml:4:27: expected the name of a secret such as GITHUB_SECRET, or a list of names, not a value
      secret: [GITHUB_SECRET, ******************, ****************]
                              ^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here
pasted_list.yaml:4:47: expected the name of a secret such as GITHUB_SECRET, or a list of names, not a value
      secret: [GITHUB_SECRET, ******************, ****************]
                                                  ^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here`,
  ],
  "braces_in_flow.yaml": [
    `when: { poll: https://example.org/{{ env.HOME }}, key: item.id }
then: [{ log: hi }]
`,
    `braces_in_flow.yaml:1:15: an expression inside { } or [ ] needs quotes
    when: { poll: https://example.org/{{ env.HOME }}, key: item.id }
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    quote it: "https://example.org/\${{ env.HOME }}"`,
  ],
  "braces_at_the_beginning.yaml": [
    `when: start
then:
  - log: {{ event.id }}
`,
    `braces_at_the_beginning.yaml:3:10: an expression begins with \${{
      - log: {{ event.id }}
             ^^^^^^^^^^^^^^
    write log: \${{ event.id }}`,
  ],
  "pasted_unclosed.yaml": [
    `when: { webhook: /d, auth: github, secret: "ghp_abcdefghijklmnop0123456789ABCDEF }
then: [{ log: hi }]
`,
    `pasted_unclosed.yaml:1:44: this quote is not closed
    when: { webhook: /d, auth: github, secret: "************************************ }
                                               ^
    close it with "`,
  ],
  "pasted_in_code.ts": [
    `import { rule, webhook } from "whenthen";

export default rule({ when: webhook("/e", { auth: "github", secret: "s3cret! passw0rd" }), then: () => {} });
`,
    `pasted_in_code.ts:3:69: when.secret: expected the name of a secret such as GITHUB_SECRET, or a list of names, not a value
    export default rule({ when: webhook("/e", { auth: "github", secret: ****************** }), then: () => {} });
                                                                        ^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here`,
  ],
  "whenthen.yaml": [
    `smtp: { host: mail.example.org, from: a@example.org, user: a, password: "s3cret! passw0rd" }
connections:
  asana: { bearer: "1/s3cret:passw0rd", hosts: [app.asana.com] }
`,
    `whenthen.yaml:1:73: expected the name of a secret such as SMTP_PASSWORD, never the password itself
    smtp: { host: mail.example.org, from: a@example.org, user: a, password: ****************** }
                                                                            ^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here
whenthen.yaml:3:20: expected the name of a secret such as ASANA_PAT, never the token itself
      asana: { bearer: *******************, hosts: [app.asana.com] }
                       ^^^^^^^^^^^^^^^^^^^
    put the value into the environment, .env or a mounted folder, and its name here`,
  ],
  "twice.yaml": [
    `name: one
when: start
then:
  - log: hi
    level: info
    level: warn
name: two
`,
    `twice.yaml:6:5: "level" is here twice: first in line 5
        level: warn
        ^^^^^
    keep one of them
twice.yaml:7:1: "name" is here twice: first in line 1
    name: two
    ^^^^
    keep one of them`,
  ],
  "twice_in_code.ts": [
    `import { cron, rule } from "whenthen";

export default rule({
  name: "one",
  when: cron("0 8 * * *"),
  name: "two",
  then: () => {},
});
`,
    `twice_in_code.ts:6:3: warning: "name" is here twice: first in line 4
      name: "two",
      ^^^^
    keep one of them`,
  ],
};

Deno.test("check says what is probably wrong, where, and what would work; it prints no secret", async () => {
  const files = Object.fromEntries(Object.entries(ADVICE).map(([file, [text]]) => [file, text]));
  await using folder = await TestFolder.with(files);
  const { problems } = await checkFolder({ folder: folder.path, data: `${folder.path}/.whenthen` });
  for (const [file, [, expected]] of Object.entries(ADVICE)) {
    const said = problems.filter((problem) => problem.file === file).map(formatProblem);
    assert.equal(said.join("\n").replaceAll(folder.path, "FOLDER"), expected, file);
  }
  assert.doesNotMatch(JSON.stringify(problems), /ghp_|passw0rd/);
});

Deno.test("check of one file is about that file and what it calls or imports", async () => {
  const wrong = "when: strat\nthen: [{ log: hi }]\n";
  await using folder = await TestFolder.with({
    "a.yaml": "when: start\nthen: [{ call: ./lib/b.yaml }]\n",
    "lib/b.yaml": "inputs: {}\nthen: [{ call: ./c.yaml }]\n",
    "lib/c.yaml": "inputs: {}\nthen: [{ lgo: hi }]\n",
    "d.ts": 'import { rule, start } from "whenthen";\nimport { e } from "./lib/e.ts";\n' +
      "export default rule({ when: start(), then: () => e });\n",
    "lib/e.ts": "export const e = { x: 1, x: 2 };\n",
    "other.yaml": wrong,
  });
  const check = async (...files: string[]) => {
    const { problems, rules } = await checkFolder({ folder: folder.path, data: `${folder.path}/.whenthen`, files });
    return { files: [...new Set(problems.map(({ file }) => file))].sort(), rules: [...rules.keys()] };
  };
  // What calls an action that does not load does not load either.
  assert.deepEqual(await check("a.yaml"), { files: ["a.yaml", "lib/b.yaml", "lib/c.yaml"], rules: [] });
  assert.deepEqual(await check("d.ts"), { files: ["lib/e.ts"], rules: ["d"] });
  assert.deepEqual(await check("other.yaml", "d.ts"), { files: ["lib/e.ts", "other.yaml"], rules: ["d"] });
});
