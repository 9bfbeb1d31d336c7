import assert from "node:assert/strict";
import { callTargets, secretNames } from "../../runtime/language/expressions/names.ts";
import { check, checkActionText, kinds } from "./check_support.ts";

const text = `
when:
  - webhook: /a
    auth: github
    secret: [NEW, OLD]
  - poll: { call: ./feed.ts#read, with: { key: "\${{ secrets.FEED }}" } }
    if: event.data.new.token == secrets.CLAUSE
key: secrets.PEPPER + event.subject
if: event.subject != secrets["a.b"]
then:
  - http: POST https://h/\${{ secrets.URL }}
    headers: { a: "x \${{ secrets.HEADER }}" }
    onError:
      - call: ./lib/tell.yaml
        with: { t: "\${{ secrets.TELL }}" }
  - if: secrets.NESTED == ''
    then: [{ run: [./x, "\${{ secrets.ARGUMENT }}"], if: secrets.CONDITION == '' }]
onError: [{ call: ./x.ts#failed }]
`;

Deno.test("the secrets of a rule are those of its options, expressions and templates, at any depth", () => {
  const { rule, problems } = check(text);
  assert.deepEqual(problems, []);
  assert.deepEqual(secretNames(rule!, kinds).sort(), [
    "ARGUMENT",
    "CLAUSE",
    "CONDITION",
    "FEED",
    "HEADER",
    "NESTED",
    "NEW",
    "OLD",
    "PEPPER",
    "TELL",
    "URL",
    "a.b",
  ]);
});

Deno.test("the targets of a rule are those of its sources and steps, with their places", () => {
  assert.deepEqual(callTargets(check(text).rule!, kinds).map(({ target, at }) => [target, at.line]), [
    ["./feed.ts#read", 6],
    ["./lib/tell.yaml", 14],
    ["./x.ts#failed", 18],
  ]);
});

Deno.test("an action's secrets and targets are found too", () => {
  const { action } = checkActionText("then: [{ call: ./a.yaml }, { log: hi, if: secrets.A == '' }]\noutput: secrets.B");
  assert.deepEqual(secretNames(action!, kinds), ["A", "B"]);
  assert.deepEqual(callTargets(action!, kinds).map(({ target }) => target), ["./a.yaml"]);
});

Deno.test("nothing that is nested in the steps of a process is missed", () => {
  const { rule, problems } = check(`
when: { event: a }
then:
  - parallel:
      crm: [{ call: "./a.yaml", with: { t: "\${{ secrets.BRANCH }}" } }]
      ask:
        - form: Ok?
          to: [a@example.org, "\${{ secrets.BOSS }}"]
          escalate: { after: 1d, to: "\${{ secrets.HIS_BOSS }}" }
          notify: { call: "./b.ts#tell" }
          onTimeout: [{ log: "\${{ secrets.LATE }}" }]
  - each: secrets.LIST.split(",")
    then: [{ call: ./c.yaml }]
  - repeat: { until: secrets.UNTIL == "" }
    then: [{ waitFor: paid, match: { data.id: secrets.MATCH } }, { wait: "\${{ secrets.WAIT }}" }]
`);
  assert.deepEqual(problems, []);
  const names = ["BOSS", "BRANCH", "HIS_BOSS", "LATE", "LIST", "MATCH", "UNTIL", "WAIT"];
  assert.deepEqual(secretNames(rule!, kinds).sort(), names);
  assert.deepEqual(callTargets(rule!, kinds).map(({ target }) => target), ["./a.yaml", "./b.ts#tell", "./c.yaml"]);
});

Deno.test("the secrets that an input chooses from are those of the rule, beside those in its conditions", () => {
  const { rule, problems } = check(`
inputs: { token: { type: secret, choices: [ONE, NOPE] }, more: { type: list, of: { type: secret, choices: [TWO] } } }
when: manual
if: secrets.CLAUSE != ''
key: secrets.KEY
then: [{ log: hi }]
`);
  assert.deepEqual(problems.map(({ severity, message, at }) => [severity, message, at.line, at.column]), [
    ["warning", "the secret NOPE is not set", 2, 49],
  ]);
  assert.deepEqual(secretNames(rule!, kinds).sort(), ["CLAUSE", "KEY", "NOPE", "ONE", "TWO"]);
});
