import assert from "node:assert/strict";
import { heads, shown, TestFolder } from "./loading.ts";

const KEY = `inputs:
  bits: { type: integer, default: 2048 }
  algorithm: { type: choice, choices: [RSA, EC] }
  out: { type: path }
  quiet: { type: boolean, required: false, conflicts: [verbose] }
  verbose: { type: boolean, required: false }
  retryDelay: { type: duration, required: false, requires: [retry] }
  retry: { type: integer, required: false }
then: [{ log: "\${{ inputs.algorithm }}" }]
`;

const rule = (step: string) => `when: { event: a }\nthen:\n${step}`;

async function problemsOf(step: string): Promise<string[]> {
  await using folder = await TestFolder.with({ "lib/key.yaml": KEY, "a.yaml": rule(step) });
  return shown(await folder.load());
}

Deno.test("literal values that do not fit an action's inputs are problems at load, all at once and each at its place", async () => {
  const step = `  - call: ./lib/key.yaml
    with:
      bits: abc
      algorithn: RSA
      out: ../x
      quiet: true
      verbose: true
      retryDelay: 5s
`;
  assert.deepEqual((await problemsOf(step)).join("\n").split("\n"), [
    'a.yaml:4:5: algorithm is missing: expected one of "RSA", "EC"',
    "        with:",
    "        ^^^^",
    "a.yaml:4:5: retry is missing: retryDelay requires retry",
    "        with:",
    "        ^^^^",
    'a.yaml:5:13: expected a whole number, got "abc"',
    "          bits: abc",
    "                ^^^",
    'a.yaml:6:7: unknown key "algorithn"',
    "          algorithn: RSA",
    "          ^^^^^^^^^",
    "    did you mean algorithm?",
    'a.yaml:7:12: expected a relative path without .., such as reports/may.csv, got "../x"',
    "          out: ../x",
    "               ^^^^",
    "a.yaml:8:7: quiet conflicts with verbose",
    "          quiet: true",
    "          ^^^^^",
  ]);
});

Deno.test("a value with a template may turn out to be anything", async () => {
  const step = `  - call: ./lib/key.yaml
    with:
      algorithm: \${{ event.data.algorithm }}
      out: "\${{ event.data.name }}.pem"
      quiet: true
      verbose: \${{ event.data.verbose }}
      retryDelay: 5s
      retry: \${{ event.data.retry }}
`;
  assert.deepEqual(await problemsOf(step), []);
});

Deno.test("a call without values, and one of an action, are checked too", async () => {
  await using folder = await TestFolder.with({
    "lib/key.yaml": KEY,
    "lib/two.yaml": "inputs: { a: { type: text } }\nthen: [{ call: ./key.yaml, with: { algorithm: RSA } }]\n",
    "a.yaml": rule("  - call: ./lib/key.yaml\n"),
    "b.yaml": rule(
      "  - parallel:\n      x: [{ if: true, then: [{ call: ./lib/key.yaml, with: { algorithm: X, out: y } }] }]\n",
    ),
  });
  assert.deepEqual(heads(await folder.load()), [
    'a.yaml:3:11: algorithm is missing: expected one of "RSA", "EC"',
    "a.yaml:3:11: out is missing: expected a relative path without .., such as reports/may.csv",
    'b.yaml:4:73: expected one of "RSA", "EC", got "X"',
    "lib/two.yaml:2:28: out is missing: expected a relative path without .., such as reports/may.csv",
  ]);
});

Deno.test("a number counts as it is written where the action expects text", async () => {
  await using folder = await TestFolder.with({
    "lib/tell.yaml": "inputs: { version: { type: text }, all: { type: list, of: text } }\nthen: [{ log: hi }]\n",
    "a.yaml": rule("  - call: ./lib/tell.yaml\n    with: { version: 1.10, all: [1.0, 2] }\n"),
  });
  const { problems, rules } = await folder.load();
  assert.deepEqual(problems, []);
  const [step] = rules.get("a")!.then as { written?: unknown }[];
  assert.deepEqual(step.written, { version: "1.10", "all/0": "1.0", "all/1": "2" });
});

Deno.test("the last good version of a rule goes on after an action's inputs have changed", async () => {
  const call = rule("  - call: ./lib/tell.yaml\n    with: { a: x }\n");
  await using folder = await TestFolder.with({
    "lib/tell.yaml": "inputs: { a: { type: text } }\nthen: [{ log: hi }]\n",
    "a.yaml": call,
  });
  const before = await folder.load();
  await folder.write({ "lib/tell.yaml": "inputs: { b: { type: text } }\nthen: [{ log: hi }]\n" });
  const after = await folder.load();
  assert.deepEqual(after.problems.map(({ message }) => message).sort(), [
    "b is missing: expected text",
    'unknown key "a"',
  ]);
  assert.equal(after.rules.get("a"), before.rules.get("a"));
});

Deno.test("inputs that contradict each other are refused at load, and the last good version runs on", async () => {
  const rule = (c: string) =>
    `inputs:
  a: { type: boolean, required: false, requires: [b] }
  b: { type: boolean, required: false, requires: [c] }
  c: { type: boolean, required: false${c} }
when: manual
then: [{ log: hi }]
`;
  await using folder = await TestFolder.with({ "a.yaml": rule("") });
  const before = await folder.load();
  assert.deepEqual(before.problems, []);
  await folder.write({ "a.yaml": rule(", conflicts: [a]") });
  const after = await folder.load();
  assert.deepEqual(heads(after), [
    "a.yaml:2:3: a can never be used: a requires b, b requires c, and c conflicts with a",
  ]);
  assert.equal(after.rules.get("a"), before.rules.get("a"));
  await folder.write({ "a.yaml": rule(", requires: [a]") });
  assert.deepEqual(heads(await folder.load()), [
    "a.yaml:2:50: a cycle: a requires b, b requires c, and c requires a",
  ]);
});
