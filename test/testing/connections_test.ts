import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

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
