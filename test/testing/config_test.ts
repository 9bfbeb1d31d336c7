import assert from "node:assert/strict";
import { readSet } from "../../runtime/folder/settings/config_layers.ts";
import { outcomes, simulate } from "./simulating.ts";

const PEOPLE = { "whenthen.yaml": "people: { anna: { groups: [ops] }, ben: {} }\n" };

const RULE = `when: { event: paid }
then:
  - wait: 1h
  - log: limit \${{ config.limit }}
editors: ops
config:
  limit: { type: integer, default: 1, max: 10 }
  mail: { type: email, required: false, requires: [subject] }
  subject: { type: text, required: false }
`;

Deno.test("a test sets config as a person: for later runs, while earlier ones keep theirs; who may not, and what does not fit, is refused", async () => {
  const report = await simulate({
    ...PEOPLE,
    "pay.yaml": `${RULE}tests:
  - name: set
    do:
      - send: { type: paid }
      - config: { as: anna, set: { limit: 5 } }
      - send: { type: paid }
      - advance: 1h
      - expect: { runs: [succeeded, succeeded], logs: [limit 1, limit 5] }
      - config: { set: { limit: null } }
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 1, limit 5, limit 1] }
  - name: refused
    config: { limit: 2 }
    do:
      - config: { as: ben, set: { limit: 5 } }
        refused: forbidden
      - config: { as: anna, set: { limit: 50 } }
        refused: invalid
      - config: { as: anna, set: { mail: a@example.org } }
        refused: invalid
      - config: { as: anna, set: { lmit: 5 } }
        refused: invalid
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 2] }
  - name: not as expected
    do:
      - config: { as: ben, set: { limit: 5 } }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), [
    "set",
    "refused",
    "not as expected: The config set by ben was refused: forbidden",
  ]);
});

Deno.test("a TypeScript test sets config", async () => {
  const report = await simulate({
    ...PEOPLE,
    "pay.yaml": RULE,
    "pay.test.ts": `import { testRule } from "whenthen";
testRule("pay", "set", async (t) => {
  await t.config({ as: "anna", set: { limit: 5 } });
  await t.config({ as: "ben", set: { limit: 6 }, refused: "forbidden" });
  await t.send({ type: "paid" });
  await t.advance("1h");
  t.expect({ logs: ["limit 5"] });
});
`,
  });
  assert.deepEqual([report.problems, outcomes(report)], [[], ["set"]]);
});

Deno.test("config of the files does not reach tests, but that of --set does, below the test's own", async () => {
  const report = await simulate({
    ...PEOPLE,
    "config.yaml": "pay: { limit: 3 }\n",
    "pay.yaml": `${RULE}tests:
  - name: of --set
    do:
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 4] }
  - name: own
    config: { limit: 2 }
    do:
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 2] }
`,
  }, { set: [readSet("pay.limit=4")!] });
  assert.deepEqual(outcomes(report), ["of --set", "own"]);
});

Deno.test("a request goes to a host of the config field that decides it, whatever the event adds; a person cannot set another host", async () => {
  const report = await simulate({
    ...PEOPLE,
    "tell.yaml": `when: { event: told }
then:
  - http: POST \${{ config.url }}\${{ event.data.more }}/x
    auth: { bearer: "\${{ secrets.TELL_KEY }}" }
editors: ops
config:
  url: { type: url, hosts: [a.example, b.example], default: https://a.example }
tests:
  - name: hosts
    stub: { http: { status: 200 } }
    do:
      - send: { type: told, data: { more: "" } }
      - expect: { run: succeeded, calls: [{ http: POST https://a.example/x }] }
      - send: { type: told, data: { more: .evil.example } }
      - expect: { run: failed }
      - config: { as: anna, set: { url: "https://evil.example" } }
        refused: invalid
      - config: { as: anna, set: { url: "https://b.example" } }
      - send: { type: told, data: { more: "" } }
      - expect: { run: succeeded, calls: [{ http: POST https://b.example/x }] }
`,
  });
  assert.deepEqual([report.problems.filter(({ severity }) => severity === "error"), outcomes(report)], [[], ["hosts"]]);
});
