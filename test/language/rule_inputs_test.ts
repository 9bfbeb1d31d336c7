import assert from "node:assert/strict";
import { check, underlined } from "./check_support.ts";

const rule = (when: string, rest = "") =>
  `inputs:
  bits: { type: choice, choices: [2048, 4096], default: 2048 }
  version: { type: text, required: false }
when:
${when.replace(/^/gm, "  ")}
${rest}then: [{ log: "\${{ inputs.bits }}" }]
`;

function problemsOf(text: string): string[][] {
  return underlined(text, check(text, { people: ["anna", "ops"] }).problems);
}

Deno.test("a rule has inputs, and each trigger gives its values for them", () => {
  const { rule: found, problems } = check(
    rule(`- manual: true\n  to: ops\n- cron: "0 3 1 * *"\n  inputs: { bits: 4096, version: 1.10 }`),
    { people: ["ops"] },
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.keys(found!.inputs!), ["bits", "version"]);
  assert.deepEqual(found!.triggers.map(({ inputs }) => inputs), [undefined, { bits: 4096, version: "1.10" }]);
  assert.deepEqual(found!.triggers[0].args, { manual: true, to: ["ops"] });
});

Deno.test("values of a trigger that do not fit are problems at their places", () => {
  const text = rule(
    `- cron: "0 3 1 * *"\n  inputs: { bits: 1024, versoin: x }\n- event: a\n  inputs: { bits: "\${{ event.data.bits }}" }`,
  );
  assert.deepEqual(problemsOf(text), [
    ["1024", "expected one of 2048, 4096, got 1024"],
    ["versoin", 'unknown key "versoin"', "did you mean version?"],
  ]);
});

Deno.test("a trigger that leaves out what is required is a problem, but not one by hand: a person gives it", () => {
  const text = "inputs: { a: { type: text } }\nwhen:\n  - event: x\n  - manual: true\nthen: [{ log: hi }]\n";
  assert.deepEqual(problemsOf(text), [["event", "the input a is missing: expected text"]]);
});

Deno.test("inputs need the rule's declaration; unknown names in expressions are problems", () => {
  assert.deepEqual(problemsOf("when:\n  event: a\n  inputs: { x: 1 }\nthen: [{ log: hi }]\n"), [
    ["inputs", '"inputs" means nothing here: the rule declares none', "add inputs: beside when:"],
  ]);
  assert.deepEqual(problemsOf(rule("event: a", "if: inputs.bit > 1\n")), [
    ["inputs.bit", "unknown inputs.bit", "did you mean inputs.bits?"],
  ]);
  const none = "when: { event: a }\nif: inputs.x == 1\nthen: [{ log: hi }]\n";
  assert.match(problemsOf(none)[0][1], /unknown name "inputs"/);
});

Deno.test("a batch has no event to take values from", () => {
  const text = rule(`event: a\nbatch: { every: 1h }\ninputs: { version: "\${{ event.data.x }}" }`);
  assert.match(problemsOf(text)[0][1], /unknown name "event"/);
  const { rule: found } = check(
    `config: { v: "7" }\n${rule('event: a\nbatch: { every: 1h }\ninputs: { version: "\${{ config.v }}" }')}`,
  );
  assert.deepEqual(found!.triggers[0].inputs, { version: "7" });
});

Deno.test("who may start a rule is known, or an address", () => {
  assert.deepEqual(problemsOf(rule("manual: true\nto: [anna, opps, x@example.org]")), [
    ["opps", 'unknown person or group "opps"', "did you mean ops?"],
  ]);
});
