import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

const TOOL = `command: tool
inputs:
  -a: { type: integer }
  --token: { type: secret, choices: [API_TOKEN], pass: env TOKEN }
`;
const rule = (test: string) =>
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
    "a.yaml": rule(`    stub: { commands/tool: [{ stdout: one, files: [{ name: x }] }, { code: 3, stderr: no }] }
    do:
      - send: { type: a, data: { a: 5 } }
      - expect:
          run: failed
          error: ended with exit code 3
          steps: { first: { output: { argv: [-a, "5"], code: 0, files: [{ name: x }] } } }
          calls: [{ command: commands/tool, argv: [-a, "5"] }, { argv: [] }]
`),
    "b.yaml": rule(`    stub: { first: {} }
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
    "a.yaml": rule("    do: [{ send: { type: a, data: { a: 5 } } }]\n"),
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
    'four: The command gives something else {"part":"problems","expected":["unknown input"],"seen":["unknown input \\"-b\\"; did you mean -a?","-a: expected a whole number, got \\"x\\""]}',
    'five: The command gives something else {"part":"argv","expected":null,"seen":[]}',
  ]);
});
