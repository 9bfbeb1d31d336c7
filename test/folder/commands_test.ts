import assert from "node:assert/strict";
import { heads, shown, TestFolder } from "./loading.ts";

const CURL = `command: curl
inputs:
  -m: { type: integer, join: "" }
  --retry: { type: integer }
  --retry-delay: { type: integer, requires: [--retry] }
  -I: { type: boolean, conflicts: [--data] }
  --data: { type: text }
  --token: { type: secret, choices: [API_TOKEN], pass: env TOKEN }
  -sS: { type: boolean, root: true }
  urls: { type: list, of: text, position: last }
`;
const rule = (step: string) => `when: { event: a }\nthen:\n${step}`;

async function problemsOf(step: string): Promise<string[]> {
  await using folder = await TestFolder.with({ "commands/curl.yaml": CURL, "a.yaml": rule(step) });
  return heads(await folder.load());
}

Deno.test("literal values that a command cannot get are problems at load, all at once and each at its place", async () => {
  await using folder = await TestFolder.with({
    "commands/curl.yaml": CURL,
    "a.yaml": rule(`  - call: ./commands/curl.yaml
    with:
      -m: abc
      --retri: 5
      --retry-delay: 5
      -I: true
      --data: "x\\0y"
      -sS: true
      urls: ["-rf"]
`),
  });
  assert.deepEqual(shown(await folder.load()).join("\n").split("\n"), [
    "a.yaml:4:5: --retry is missing: --retry-delay requires --retry",
    "        with:",
    "        ^^^^",
    'a.yaml:5:11: expected a whole number, got "abc"',
    "          -m: abc",
    "              ^^^",
    'a.yaml:6:7: unknown input "--retri"',
    "          --retri: 5",
    "          ^^^^^^^",
    '    did you mean "--retry"?',
    "a.yaml:8:7: -I conflicts with --data",
    "          -I: true",
    "          ^^",
    "a.yaml:9:15: an argument cannot contain NUL",
    '          --data: "x\\0y"',
    "                  ^^^^^^",
    "    take it out",
    "a.yaml:10:7: -sS needs root",
    "          -sS: true",
    "          ^^^",
    "    write root: true in the command file",
    'a.yaml:11:13: "-rf" begins with -, so the program would read it as a flag',
    '          urls: ["-rf"]',
    "                ^",
    '    if the program knows it, add end: "--"',
  ]);
});

Deno.test("a value with a template may turn out to be anything, but no secret may stand in argv", async () => {
  assert.deepEqual(
    await problemsOf(`  - call: ./commands/curl.yaml
    stdin: \${{ event.data.body }}
    with: { -m: "\${{ event.data.m }}", --retry-delay: "\${{ event.data.d }}", --retry: "\${{ event.data.r }}" }
`),
    [],
  );
  assert.deepEqual(
    await problemsOf(`  - call: ./commands/curl.yaml
    with: { --data: "token=\${{ secrets.X }}" }
`),
    [
      "a.yaml:4:21: a secret in --data would stand in argv, which everybody on the machine can read",
      "a.yaml:4:32: warning: the secret X is not set",
    ],
  );
});

Deno.test("options of a command mean nothing for an action and a function", async () => {
  await using folder = await TestFolder.with({
    "lib/tell.yaml": "inputs: {}\nthen: [{ log: hi }]\n",
    "a.yaml": rule("  - { call: ./lib/tell.yaml, stdin: x, save: y }\n"),
    "b.yaml": rule("  - { call: './x.ts#f', stdin: x }\n"),
  });
  const found = heads(await folder.load());
  assert.deepEqual(found, [
    'a.yaml:3:30: "stdin" means nothing for an action',
    'a.yaml:3:40: "save" means nothing for an action',
    "b.yaml:3:13: ./x.ts does not exist",
    "b.yaml:3:32: only a command has it",
  ]);
});

Deno.test("a rule contains the commands that it calls, directly and through actions", async () => {
  await using folder = await TestFolder.with({
    "commands/curl.yaml": CURL,
    "commands/get.yaml": "command: ./curl.yaml\nonly: [-m, urls]\nwith: { -m: 5 }\n",
    "lib/get.yaml":
      "inputs: { url: { type: url } }\nthen: [{ call: ../commands/get.yaml, with: { urls: ['${{ inputs.url }}'] } }]\n",
    "a.yaml": rule("  - { call: ./lib/get.yaml, with: { url: https://example.org/ } }\n"),
  });
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded), []);
  const { commands, version } = loaded.rules.get("a")!;
  assert.deepEqual(Object.keys(commands!), ["commands/get.yaml"]);
  assert.deepEqual([...loaded.commands.keys()], ["commands/curl", "commands/get"]);
  assert.equal((await folder.load()).rules.get("a")!.version, version, "an unchanged command");
  assert.deepEqual(loaded.secretNames, ["API_TOKEN"]);

  await folder.write({ "commands/curl.yaml": CURL.replace('join: ""', 'join: "="') });
  assert.notEqual((await folder.load()).rules.get("a")!.version, version, "a changed one");
});

Deno.test("the last good version of a command goes on, and so does that of a rule that calls it", async () => {
  await using folder = await TestFolder.with({
    "a.yaml": rule("  - { call: ./tool.yaml, with: { a: true } }\n"),
    "tool.yaml": `command: tool
inputs: { a: { type: boolean, requires: [b] }, b: { type: boolean, default: true, requires: [c] }, c: { type: boolean, default: true } }
`,
  });
  const before = await folder.load();
  assert.deepEqual(shown(before), []);
  await folder.write({
    "tool.yaml": `command: tool
inputs: { a: { type: boolean, requires: [b] }, b: { type: boolean, requires: [c] }, c: { type: boolean, conflicts: [a] } }
`,
  });
  const after = await folder.load();
  assert.deepEqual(after.problems.map(({ message }) => message), [
    "./tool.yaml does not load",
    "a can never be used: a requires b, b requires c, and c conflicts with a",
  ]);
  assert.equal(after.rules.get("a"), before.rules.get("a"));
  assert.equal(after.commands.get("tool"), before.commands.get("tool"));
  await folder.write({ "tool.yaml": "command: [\n" });
  assert.equal((await folder.load()).commands.get("tool"), before.commands.get("tool"));
  await folder.remove("tool.yaml");
  assert.equal((await folder.load()).commands.size, 0);
});

Deno.test("import: inputs come from OTO's export, under those of the file; importing twice changes nothing", async () => {
  const parameter = (flag: string, value_type: string, more = {}) => ({
    flag,
    description: "",
    executable_tag: "curl",
    requires_root: false,
    requires_value: true,
    value_type,
    ...more,
  });
  const json = [parameter("-m", "int"), parameter("--data", "string", { interfer_ids: ["-m"] })];
  await using folder = await TestFolder.with({
    "oto/curl.json": JSON.stringify(json),
    "curl.yaml": 'command: curl\nimport: ./oto/curl.json\ninputs: { -m: { join: "" }, -I: { type: boolean } }\n',
  });
  const loaded = await folder.load();
  assert.deepEqual(shown(loaded), []);
  const { inputs } = loaded.commands.get("curl")!;
  assert.deepEqual(Object.entries(inputs).map(([name, { type, join }]) => [name, type, join]), [
    ["-m", "integer", ""],
    ["--data", "text", undefined],
    ["-I", "boolean", undefined],
  ]);
  assert.equal((await folder.load()).commands.get("curl"), loaded.commands.get("curl"));
  await folder.write({ "oto/curl.json": JSON.stringify([...json, parameter("-x", "path")]) });
  assert.ok((await folder.load()).commands.get("curl")!.inputs["-x"], "the file under import is read again");
  await folder.write({ "oto/curl.json": "[" });
  assert.match(heads(await folder.load())[0], /^curl\.yaml:2:9: this file is no JSON: /);
});

Deno.test("a file is of one kind", async () => {
  await using folder = await TestFolder.with({ "a.yaml": "command: x\nwhen: { event: a }\nthen: [{ log: x }]\n" });
  assert.deepEqual(heads(await folder.load()), [
    'a.yaml:2:1: a file with "command" is a command, so it has no "when"',
    'a.yaml:3:1: a file with "command" is a command, so it has no "then"',
  ]);
});

Deno.test("then alone is an action; one that nothing calls is a warning, and keys of rules in it are problems", async () => {
  await using folder = await TestFolder.with({
    "used.yaml": "then: [{ log: used }]\n",
    "unused.yaml": "x-note: mine\nthen: [{ log: unused }]\n",
    "rule.yaml": "when: manual\nthen: [{ call: ./used.yaml }]\n",
  });
  const warned = await folder.load();
  assert.deepEqual(heads(warned), ["unused.yaml:2:1: warning: nothing calls this action, so it never runs"]);
  assert.match(shown(warned)[0], /a rule needs when: and then:; to start it by hand: when: manual$/);
  await folder.write({
    "rule.yaml": "mode: queued\nthen: [{ call: ./used.yaml }]\n",
    "unused.yaml": "inputs: { a: { type: text } }\nmode: queued\nthen: [{ log: unused }]\n",
  });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    'rule.yaml:1:1: "when" is missing',
    'unused.yaml:2:1: an action has no "mode", and this file has no "when"',
  ]);
  assert.ok(loaded.rules.has("rule"), "the last good version of a rule that lost its when goes on");
});

Deno.test("rules, actions and commands share one space of ids", async () => {
  await using folder = await TestFolder.with({
    "rule.yaml": "id: tools/curl\nwhen: manual\nthen: [{ call: ./act.yaml }]\n",
    "tools/curl.yaml": "command: curl\n",
    "act.yaml": "then: [{ log: x }]\n",
    "act.yml": "command: act\n",
  });
  const loaded = await folder.load();
  assert.deepEqual(heads(loaded), [
    'act.yaml:1:1: the action id "act" is also that of act.yml',
    'act.yml:1:1: the command id "act" is also that of act.yaml',
    'rule.yaml:1:5: the rule id "tools/curl" is also that of tools/curl.yaml',
    'tools/curl.yaml:1:1: the command id "tools/curl" is also that of rule.yaml',
  ]);
  assert.ok(!loaded.rules.has("tools/curl"));
});

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

async function problemsOfCall(step: string): Promise<string[]> {
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
  assert.deepEqual((await problemsOfCall(step)).join("\n").split("\n"), [
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
    '    did you mean "algorithm"?',
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
  assert.deepEqual(await problemsOfCall(step), []);
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
