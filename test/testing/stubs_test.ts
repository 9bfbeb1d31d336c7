import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

Deno.test("a step that reaches outside without a stub fails the test, however the rule handles it", async () => {
  const report = await simulate({
    "lib/tell.yaml": "inputs: {}\nthen: [{ id: post, http: POST https://chat.example.org/ }]\n",
    "lib/count.ts": "export const count = () => 1;\n",
    "a.yaml": `when: { event: a }
then:
  - { id: get, http: https://example.org/, onError: continue }
tests: [{ name: http, do: [{ send: { type: a } }, { expect: { run: succeeded } }] }]
`,
    "b.yaml": `when: { event: a }
then:
  - { run: [touch, /tmp/whenthen-never], onError: continue }
tests: [{ name: run, do: [{ send: { type: a } }] }]
`,
    "c.yaml": `when: { event: a }
then:
  - { call: ./lib/count.ts#count, onError: continue }
tests: [{ name: call, do: [{ send: { type: a } }] }]
`,
    "d.yaml": `when: { event: a }
then:
  - { mail: anna@example.org, text: hello, onError: continue }
tests: [{ name: mail, do: [{ send: { type: a } }] }]
`,
    "e.yaml": `when: { event: a }
then:
  - { call: ./lib/tell.yaml, onError: continue }
tests: [{ name: inside, do: [{ send: { type: a } }] }]
`,
  });
  assert.deepEqual(outcomes(report), [
    'http: Step "get" acts on the outside world and has no stub; add it, as in stub: { http: { status: 200 } }',
    'run: Step "run" acts on the outside world and has no stub; add it, as in stub: { run: { stdout: "…" } }',
    'call: Step "call" acts on the outside world and has no stub; add it, as in stub: { call: what it returns }',
    'mail: Step "mail" acts on the outside world and has no stub; add it, as in stub: { mail: {} }',
    'inside: Step "call/then/post" acts on the outside world and has no stub; add it, as in stub: { http: { status: 200 } }',
  ]);
});

Deno.test("stubs by kind, by step, by path; called YAML actions are executed unless they are stubbed by their step", async () => {
  const report = await simulate({
    "lib/tell.yaml": `inputs: { text: { type: text } }
then:
  - { id: post, http: POST https://chat.example.org/, json: { text: "\${{ inputs.text }}" } }
output: steps.post.status
`,
    "lib/count.ts": "export const count = () => 1;\n",
    "a.yaml": `when: { event: a }
then:
  - { id: list, run: [./list.sh], format: lines }
  - { id: count, call: ./lib/count.ts#count, with: { of: "\${{ size(steps.list.json) }}" } }
  - { id: tell, call: ./lib/tell.yaml, with: { text: "n \${{ steps.count }}" } }
  - { id: tellAgain, call: ./lib/tell.yaml, with: { text: again } }
  - log: "\${{ steps.tell }} \${{ steps.tellAgain }}"
tests:
  - name: all
    stub:
      run: { stdout: "a\\nb\\n" }
      call: 3
      http: { status: 201 }
      tellAgain/then/post: { status: 202 }
    do:
      - send: { type: a }
      - expect:
          logs: [201 202]
          calls:
            - { run: [./list.sh], step: list }
            - { call: ./lib/count.ts#count, with: { of: 2 } }
            - { http: POST https://chat.example.org/, json: { text: n 3 }, step: tell/then/post }
            - { json: { text: again }, step: tellAgain/then/post }
        exact: true
  - name: whole actions
    stub: { run: {}, count: 1, tell: hello, tellAgain: 5 }
    do:
      - send: { type: a }
      - expect: { logs: [hello 5], steps: [list, count, tell, tellAgain, log] }
        exact: true
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["all", "whole actions"]);
});

Deno.test("answers stand for the network: the action judges statuses, bodies and failures", async () => {
  const report = await simulate({
    "a.yaml": `when: { event: a }
then:
  - { id: get, http: https://example.org/, ok: [404] }
  - log: "\${{ steps.get.status }} \${{ steps.get.body }} \${{ steps.get.headers['x-n'] }}"
tests:
  - name: JSON
    stub: { get: { body: { n: 1 }, headers: { X-N: "2" } } }
    do: [{ send: { type: a } }, { expect: { logs: ['200 {"n":1} 2'] } }]
  - name: text
    stub: { get: { status: 404, body: nobody, headers: { X-N: "" } } }
    do: [{ send: { type: a } }, { expect: { logs: [404 nobody] } }]
  - name: a refusal is final
    stub: { get: { status: 403 } }
    do:
      - send: { type: a }
      - expect: { run: failed, error: answered 403, steps: { get: { attempts: 1, state: failed } } }
  - name: a failing network is tried again, each time later
    stub: { get: [{ error: connection refused }, { status: 503 }, { headers: { X-N: "1" } }] }
    do:
      - send: { type: a }
      - expect: { steps: { get: { state: retrying, error: "Cannot GET https://example.org/: connection refused" } } }
      - advance: 999ms
      - expect: { calls: [{}] }
        exact: true
      - advance: 1ms
      - expect: { calls: [{}, {}], steps: { get: { error: GET https://example.org/ answered 503 } } }
        exact: true
      - advance: 2s
      - expect: { run: succeeded }
  - name: Retry-After counts
    stub: { get: [{ status: 429, headers: { Retry-After: "60" } }, { headers: { X-N: "1" } }] }
    do:
      - send: { type: a }
      - advance: 59s
      - expect: { run: waiting }
      - advance: 1s
      - expect: { run: succeeded }
  - name: redirects are followed
    stub: { get: [{ status: 302, headers: { location: /x } }, { headers: { X-N: there } }] }
    do: [{ send: { type: a } }, { expect: { logs: [there] } }]
`,
  });
  assert.deepEqual(outcomes(report), [
    "JSON",
    "text",
    "a refusal is final",
    "a failing network is tried again, each time later",
    "Retry-After counts",
    "redirects are followed",
  ]);
});

Deno.test("commands, functions and mails fail as the stub says", async () => {
  const report = await simulate({
    "lib.ts": "export const read = () => 1;\n",
    "a.yaml": `when: { event: a }
then:
  - { id: list, run: [./list.sh], onError: continue }
  - { id: read, call: ./lib.ts#read, onError: continue }
  - { id: tell, mail: [anna@example.org, ben@example.org], text: hi, retry: 1, onError: continue }
  - log: "\${{ json(errors) }} \${{ json(steps.tell) }}"
tests:
  - name: they fail
    stub: { run: { code: 3, stderr: no such disk }, read: { error: no such file }, mail: { error: no server } }
    do:
      - send: { type: a }
      - expect:
          run: succeeded
          steps:
            list: { state: failed, error: '"./list.sh" ended with exit code 3: no such disk' }
            read: { state: failed, error: no such file }
            tell: { state: failed, error: no server }
  - name: they do not
    stub: { run: { stdout: { n: 1 } }, read: null, mail: { rejected: [ben@example.org] } }
    do:
      - send: { type: a }
      - expect:
          steps:
            list: { output: { code: 0, json: { n: 1 } } }
            tell: { output: { accepted: [anna@example.org, ben@example.org], rejected: [ben@example.org] } }
`,
  });
  assert.deepEqual(outcomes(report), ["they fail", "they do not"]);
});

Deno.test("a task is answered for each device; something happens to a device in YAML and in TypeScript", async () => {
  const report = await simulate({
    "plant/plc.ts": `import { device, task } from "whenthen";
export default device<{ name: string }>({ tasks: { reboot: task({ run: () => 1 }) } });
`,
    "plant/plc.yaml": "devices: [{ name: press-1 }, { name: press-2 }]\nkey: item.name\ndevice: ./plc.ts\n",
    "fix.yaml": `when: { event: whenthen.device.dead, if: "event.data.fleet == 'plant/plc'" }
then:
  - { id: one, task: reboot, fleet: plant/plc, to: "\${{ event.subject }}", onError: continue }
  - { id: all, task: reboot, fleet: plant/plc, to: all, onError: continue }
tests:
  - name: in YAML
    stub: { task: { press-1: { return: 7 }, press-2: { error: no answer } } }
    do:
      - device: { fleet: plant/plc, name: press-2, event: dead, data: { error: late } }
      - expect:
          run: succeeded
          steps:
            one: { state: failed, error: no answer }
            all: { output: { total: 2, failed: 1, results: [{ device: press-1, return: 7 }, { success: false }] } }
          calls: [{ task: reboot, fleet: plant/plc, to: press-2 }, { task: reboot, to: all }]
  - name: a stub too few
    stub: { task: { press-1: {} } }
    do:
      - device: { fleet: plant/plc, name: press-2, event: dead }
  - name: no stub
    do:
      - device: { fleet: plant/plc, name: press-2, event: dead }
`,
    "fix.test.ts": `import { testRule } from "whenthen";
testRule("fix", "in TypeScript", { stub: { task: { "press-1": {} } } }, async (t) => {
  await t.device({ fleet: "plant/plc", name: "press-1", event: "dead" });
  t.expect({ run: "succeeded", calls: [{ to: "press-1" }, { to: "all" }] });
});
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), [
    "in YAML",
    'a stub too few: The stub of task says nothing about the device press-2; add it, as in task: { press-2: { return: 42 } }, or { error: "…" }',
    'no stub: Step "one" acts on the outside world and has no stub; add it, as in stub: { task: { <device>: { return: … } } }',
    "in TypeScript",
  ]);
});

Deno.test("a step may take longer than its timeout", async () => {
  const report = await simulate({
    "lib.ts": "export const read = () => 1;\n",
    "a.yaml": `when: { event: a }
then:
  - { id: get, http: https://example.org/, retry: { attempts: 2, delay: 1s }, onTimeout: [{ log: late }] }
  - { id: read, call: ./lib.ts#read, onTimeout: [{ log: later }] }
tests:
  - name: late
    stub: { get: { timeout: true }, read: { timeout: true } }
    do:
      - send: { type: a }
      - advance: 1s
      - expect: { run: succeeded, logs: [late, later], steps: { get: { attempts: 2, error: 'Step "get" took longer than its timeout' } } }
        exact: true
`,
  });
  assert.deepEqual(outcomes(report), ["late"]);
});

Deno.test("a used-up list fails the test, and so does an answer that a step cannot get", async () => {
  const report = await simulate({
    "lib/tell.yaml": "inputs: {}\nthen: [{ id: post, http: POST https://chat.example.org/ }]\n",
    "a.yaml": `when: { event: a }
then:
  - call: ./lib/tell.yaml
tests:
  - name: too short
    stub: { http: [{ status: 200 }] }
    do: [{ send: { type: a } }, { expect: { run: succeeded } }, { send: { type: a } }]
  - name: misspelt
    stub: { post: { stats: 200 } }
    do: [{ send: { type: a } }]
`,
  });
  assert.deepEqual(outcomes(report), [
    'too short: Step "call/then/post" asks for answer 2 of the stub "http", which has 1; add one',
    'misspelt: The stub of http has no "stats"; did you mean "status"?',
  ]);
});

const SETTINGS = "connections: { asana: { bearer: ASANA_PAT, hosts: [app.asana.com] } }\n";

const rule = (url: string, expect: string) => `
when: { poll: { http: https://app.asana.com/tasks, auth: { connection: asana } }, every: 1m, key: item.gid, first: emit }
then:
  - { id: done, http: "POST ${url}", json: {}, auth: { connection: asana } }
tests:
  - name: a task is completed
    stub: { poll: { body: [{ gid: a }] }, done: { status: 201 } }
    do:
      - advance: 10s
      - expect: ${expect}
`;

Deno.test("a rule with a connection is tested without a token", async () => {
  const report = await simulate({
    "whenthen.yaml": SETTINGS,
    "tasks.yaml": rule("https://app.asana.com/done", "{ run: succeeded, steps: [done] }"),
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["a task is completed"]);
});

Deno.test("a request to a host that must not get the token fails in a test, too", async () => {
  const error = 'The token of "asana" goes to app.asana.com only, not to asana.example';
  const report = await simulate({
    "whenthen.yaml": SETTINGS,
    "tasks.yaml": rule("https://asana.example/done", "{ run: failed }"),
  });
  assert.deepEqual(outcomes(report), ["a task is completed"]);
  const shown = await simulate({
    "whenthen.yaml": SETTINGS,
    "tasks.yaml": rule("https://asana.example/done", "{ run: succeeded }"),
  });
  assert.ok(JSON.stringify(shown.results[0].failure).includes(JSON.stringify(error).slice(1, -1)));
});

Deno.test("a test sends a delivery to a webhook with a handshake, signed by itself", async () => {
  const report = await simulate({
    "tasks.yaml": `
when: { webhook: /asana, auth: asana }
then: [{ log: "\${{ event.data.events[0].action }}" }]
tests:
  - name: a delivery
    do:
      - send: { webhook: /asana, json: { events: [{ action: changed }] } }
      - expect: { run: succeeded, logs: [changed] }
  - name: an unsigned delivery
    do:
      - send: { webhook: /asana, json: { events: [{ action: changed }] }, signed: false }
      - expect: { response: { status: 401 } }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["a delivery", "an unsigned delivery"]);
});

const TOOL = `command: tool
inputs:
  -a: { type: integer }
  --token: { type: secret, choices: [API_TOKEN], pass: env TOKEN }
`;
const commandRule = (test: string) =>
  `when: { event: a }
then:
  - id: first
    call: ./commands/tool.yaml
    with: { -a: "\${{ event.data.a }}", --token: API_TOKEN }
  - id: second
    call: ./commands/tool.yaml
    stdin: \${{ steps.first.stdout }}\${{ steps.first.files[0].name }}
tests:
  - name: it
${test}`;

Deno.test("a test's stub answers a command by id, and calls name its arguments; what a caller hands over is really checked", async () => {
  const report = await simulate({
    "commands/tool.yaml": TOOL,
    "a.yaml": commandRule(`    stub: { commands/tool: [{ stdout: one, files: [{ name: x }] }, { code: 3, stderr: no }] }
    do:
      - send: { type: a, data: { a: 5 } }
      - expect:
          run: failed
          error: ended with exit code 3
          steps: { first: { output: { argv: [-a, "5"], code: 0, files: [{ name: x }] } } }
          calls: [{ command: commands/tool, argv: [-a, "5"] }, { argv: [] }]
`),
    "b.yaml": commandRule(`    stub: { first: {} }
    do:
      - send: { type: a, data: { a: abc } }
      - expect: { run: failed, error: "-a: expected a whole number", calls: [] }
`),
  });
  assert.deepEqual([outcomes(report), report.problems], [["it", "it"], []]);
});

Deno.test("a command without a stub fails the test", async () => {
  const report = await simulate({
    "commands/tool.yaml": TOOL,
    "a.yaml": commandRule("    do: [{ send: { type: a, data: { a: 5 } } }]\n"),
  });
  assert.match(
    outcomes(report)[0],
    /Step "first" acts on the outside world and has no stub; add it, as in stub: { commands\/tool: /,
  );
});

Deno.test("tests of a command file: argv, or the problems", async () => {
  const report = await simulate({
    "tool.yaml": `${TOOL}tests:
  - { name: one, with: { -a: 1 }, argv: [-a, 1] }
  - { name: two, with: { -a: x }, problems: [expected a whole number] }
  - { name: three, with: { -a: 1 }, argv: [-a, 2] }
  - { name: four, with: { -b: 1, -a: x }, problems: [unknown input] }
  - { name: five, with: {}, problems: [anything] }
`,
  });
  assert.deepEqual(outcomes(report), [
    "one",
    "two",
    'three: The command gives something else {"part":"argv","expected":["-a","2"],"seen":["-a","1"]}',
    'four: The command gives something else {"part":"problems","expected":["unknown input"],"seen":["unknown input \\"-b\\"; did you mean \\"-a\\"?","-a: expected a whole number, got \\"x\\""]}',
    'five: The command gives something else {"part":"argv","expected":null,"seen":[]}',
  ]);
});
