import assert from "node:assert/strict";
import { callTargets, secretNames } from "../../runtime/rule/used.ts";
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
