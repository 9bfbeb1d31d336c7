import assert from "node:assert/strict";
import { inputSchema } from "../../runtime/commands/command_inputs.ts";
import { commandTestSchema } from "../../runtime/commands/command_tests.ts";
import { findVersion, isConstraint, satisfies, versionFault } from "../../runtime/commands/program_version.ts";
import { COMMAND_KEYS, COMMAND_SCHEMAS } from "../../runtime/commands/read_command.ts";
import { ruleJsonSchema } from "../../runtime/language/checker/json_schema.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { given, problemsOf, readCommands } from "./support.ts";

Deno.test("a command file: its problems all at once, each at its place", () => {
  assert.deepEqual(
    problemsOf(`command: git log
version: 8.10
inputs:
  -a: { type: boolean, join: "=" }
  -b: { type: text, each: repeat }
  -c: { type: text, value: optional }
  -d: { type: secret, choices: [TOKEN] }
  -e: { type: text, pass: file }
  -f: { type: text, after: -z }
  "<g>": { type: boolean }
  "7": { type: text }
  -h: { type: text, colour: red }
onli: [-a]
`).sort(),
    [
      '11:3: "7" is no name for an input',
      '12:21: unknown key "colour"',
      '13:1: unknown key "onli"',
      '1:10: "git log" is no program: nothing is split',
      "2:10: expected text, got 8.10",
      '4:24: "join" means nothing without a flag and a value',
      '5:21: "each" means nothing without type: list',
      '6:21: "value: optional" needs a join',
      "7:3: the secret -d would stand in argv, which everybody on the machine can read",
      '8:21: "pass" means nothing without type: secret',
      '9:28: there is no input "-z"',
      "10:3: <g> stands for a value, so it cannot be a boolean",
    ].sort(),
  );
});

Deno.test("a command file: orders that are impossible, and a second standard input", () => {
  assert.deepEqual(
    problemsOf(`command: tool
inputs:
  -a: { type: boolean, after: -b }
  -b: { type: boolean, before: -a }
  c: { type: text, position: last, after: -a }
  -s: { type: secret, choices: [A], pass: stdin }
  -t: { type: secret, choices: [A], pass: stdin }
`),
    [
      "3:31: no order is possible: -a → -b → -a",
      "4:32: no order is possible: -b → -a → -b",
      '5:36: "after" means nothing for what comes last',
      "7:43: -s already goes to the standard input",
    ],
  );
});

Deno.test("a command file: cycles and contradictions of what requires and excludes what", () => {
  assert.deepEqual(
    problemsOf(`command: tool
inputs:
  a: { type: boolean, requires: [b] }
  b: { type: boolean, requires: [c] }
  c: { type: boolean, conflicts: [a] }
`).length,
    1,
  );
});

Deno.test("a use of a command: only and with are checked against it", () => {
  const files = {
    "lib/openssl.yaml": `command: openssl
inputs: { genpkey: { type: boolean }, -out: { type: path }, -bits: { type: integer, required: true } }
`,
    "key.yaml": `command: ./lib/openssl.yaml
only: [genpkey, -out, -outt, -out]
with: { genpkey: maybe, -in: x, -bits: "\${{ x }}" }
`,
    "never.yaml": "command: ./lib/openssl.yaml\nonly: [-out]\n",
    "again.yaml": "command: ./good.yaml\nwith: { genpkey: false }\n",
    "good.yaml": `command: ./lib/openssl.yaml
inputs: { -bits: { max: 4096 }, -quiet: { type: boolean } }
with: { genpkey: true }
`,
  };
  const read = readCommands(files);
  const heads = (file: string) => read.get(file)!.problems.map((problem) => formatProblem(problem).split("\n")[0]);
  assert.deepEqual(heads("key.yaml"), [
    'key.yaml:2:23: there is no input "-outt"',
    "key.yaml:2:30: -out stands here twice",
    'key.yaml:3:18: expected true or false, got "maybe"',
    'key.yaml:3:25: there is no input "-in"',
    "key.yaml:3:40: an expression cannot stand here",
  ]);
  assert.deepEqual(heads("never.yaml"), ["never.yaml:2:1: -bits is required, and nobody can set it"]);
  assert.deepEqual(heads("again.yaml"), [
    "again.yaml:2:9: genpkey cannot be set: it is fixed in good, or not in its only",
  ]);
  const good = read.get("good.yaml")!.command!;
  assert.deepEqual(given(good, { "-bits": 2048, "-quiet": true }), ["genpkey", "-bits", "2048", "-quiet"]);
  assert.deepEqual(given(good, { "-bits": 8192 }), { problems: ["-bits: expected at most 4096, got 8192"] });
});

Deno.test("a use of itself, of a missing file and of a broken one", () => {
  const read = readCommands({
    "a.yaml": "command: ./b.yaml\n",
    "b.yaml": "command: ./a.yaml\n",
    "c.yaml": "command: ./nowhere.yaml\n",
    "d.yaml": "command: ./e.yaml\n",
    "e.yaml": "command: tool\nfoo: 1\n",
  });
  const messages = [...read].map(([file, { command, problems }]) => {
    assert.equal(command, undefined);
    return `${file}: ${problems.map(({ message }) => message).join("; ")}`;
  });
  assert.deepEqual(messages.sort(), [
    "a.yaml: ./b.yaml does not load",
    "b.yaml: this command is a use of itself",
    "c.yaml: ./nowhere.yaml does not exist, or is no command",
    "d.yaml: ./e.yaml does not load",
    'e.yaml: unknown key "foo"',
  ]);
});

Deno.test("a program: in PATH, absolute, or relative to its file; of a use that of the command below", () => {
  const read = readCommands({
    "a.yaml": "command: curl\n",
    "lib/b.yaml": "command: ../bin/tool\nversion: { is: '>=7.9 <9', by: [-V] }\n",
    "c.yaml": "command: /bin/tool\nname: C\nhelp: Does it\nx-note: [anything]\n",
    "d.yaml": 'command: ./lib/b.yaml\nversion: "8.5"\n',
    "e.yaml": "command: bin/tool\n",
  });
  const programs = [...read.values()].map(({ command }) => [command?.program, command?.version?.is]);
  assert.deepEqual(programs, [
    ["curl", undefined],
    ["./bin/tool", ">=7.9 <9"],
    ["/bin/tool", undefined],
    ["./bin/tool", "8.5"],
    [undefined, undefined],
  ]);
});

Deno.test("tests of a command that are no tests are problems, and the command loads", () => {
  const { command, problems, tests } = readCommands({
    "x.yaml": `command: tool
inputs: { -a: { type: text } }
tests:
  - { with: { -a: 1.10 }, argv: [-a, 1.10] }
  - { with: { -a: x } }
  - { wiht: {}, argv: [] }
`,
  }).get("x.yaml")!;
  assert.ok(command);
  assert.deepEqual(tests.map(({ name, argv }) => [name, argv]), [['{"-a":1.1}', ["-a", "1.10"]]]);
  assert.deepEqual(problems.map(({ message }) => message), ["a test has argv, or problems", 'unknown key "wiht"']);
});

// deno-lint-ignore no-explicit-any
type Schema = any;

Deno.test("the JSON Schema has command files with all their keys, and inputs with all their options", () => {
  const command = { keys: COMMAND_SCHEMAS, input: inputSchema, test: commandTestSchema };
  const schema: Schema = ruleJsonSchema({ triggers: {}, steps: {} }, command);
  const { properties, required, additionalProperties, patternProperties } = schema.anyOf.at(-1);
  assert.deepEqual(Object.keys(properties).sort(), [...COMMAND_KEYS].sort());
  assert.deepEqual([required, additionalProperties, patternProperties], [["command"], false, { "^x-": {} }]);
  const [input] = properties.inputs.additionalProperties.anyOf;
  assert.deepEqual(Object.keys(input.properties).sort(), Object.keys(inputSchema.shape).sort());
  assert.deepEqual(Object.keys(properties.tests.items.properties).sort(), ["argv", "name", "problems", "with"]);
});

Deno.test("a version is found in what programs say", () => {
  for (
    const [output, version] of [
      ["OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)", "3.0.19"],
      ["curl 8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0", "8.5.0"],
      ["git version 2.39.5", "2.39.5"],
      ["v22.1", "22.1"],
      ["less 608 (GNU regular expressions)", "608"],
      ["no version here", undefined],
    ] as const
  ) assert.equal(findVersion(output), version, output);
});

Deno.test("a version fulfils a constraint by its numbers, not by its text", () => {
  for (
    const [version, constraint, holds] of [
      ["8.5.1", "8.5", true],
      ["8.50", "8.5", false],
      ["8.10", ">=8.9", true],
      ["8.10", ">=7.9 <8.10", false],
      ["8", "=8.0", true],
      ["9.0", ">9", false],
      ["9.0.1", ">9", true],
      ["3.0", "<=3", true],
    ] as const
  ) assert.equal(satisfies(version, constraint), holds, `${version} ${constraint}`);
  assert.deepEqual(["8.5", ">=1 <2", "8.x", "", "~1"].map(isConstraint), [true, true, false, false, false]);
});

Deno.test("the fault names what was asked, found and expected", () => {
  const check = { is: ">=9", by: ["-V"] };
  assert.equal(versionFault("tool", check, "tool 8.1"), "tool has version 8.1, expected >=9 (tool -V)");
  assert.equal(versionFault("tool", check, "hi"), "tool -V says no version, expected >=9");
  assert.equal(versionFault("tool", check, "tool 9.1"), undefined);
});
