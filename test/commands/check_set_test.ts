import assert from "node:assert/strict";
import { checkSet } from "../../runtime/commands/check_set.ts";
import { commandOf, given } from "./support.ts";

const UNZIP = commandOf(`command: tool
inputs:
  -i: { type: boolean, requires: [-filepath, -dest], conflicts: [-t] }
  -t: { type: boolean, requires: [-folderpath, -dest] }
  -filepath: { type: text }
  -folderpath: { type: text }
  -dest: { type: text }
`);

for (
  const [set, problems] of [
    [["-i", "-filepath", "-dest"], []],
    [["-t", "-folderpath", "-dest"], []],
    [["-dest"], []],
    [["-i", "-filepath"], ["-dest is missing: -i requires -dest"]],
    [["-t", "-folderpath", "-i", "-filepath", "-dest"], ["-i conflicts with -t"]],
  ] as const
) {
  Deno.test(`${set.join(" ")}: ${problems.join("; ") || "accepted"}`, () => {
    const values = Object.fromEntries(set.map((name) => [name, name === "-i" || name === "-t" ? true : "x"]));
    const found = given(UNZIP, values);
    assert.deepEqual("problems" in found ? found.problems : [], [...problems]);
  });
}

Deno.test("complete: true adds what is required by what is set", () => {
  const inputs = `inputs:
  a: { type: boolean, requires: [b] }
  b: { type: boolean, requires: [c] }
  c: { type: boolean }
`;
  const plain = commandOf(`command: tool\n${inputs}`);
  assert.deepEqual(given(plain, { a: true }), {
    problems: ["b is missing: a requires b", "c is missing: a requires b and b requires c"],
  });
  assert.deepEqual(checkSet(plain, [["a", true]], { completes: true }).complete?.set, ["a", "b", "c"]);
  assert.deepEqual(given(commandOf(`command: tool\ncomplete: true\n${inputs}`), { a: true }), ["a", "b", "c"]);
});

Deno.test("an input for root is refused without root, naming the flag", () => {
  const inputs = "inputs: { -sS: { type: boolean, root: true }, -sT: { type: boolean } }\n";
  const plain = commandOf(`command: nmap\n${inputs}`);
  assert.deepEqual(given(plain, { "-sS": true }), {
    problems: ["-sS needs root; write root: true in the command file"],
  });
  assert.deepEqual(given(plain, { "-sS": false, "-sT": true }), ["-sT"]);
  assert.deepEqual(given(commandOf(`command: nmap\nroot: true\n${inputs}`), { "-sS": true }), ["-sS"]);
});

Deno.test("a wrong type and an unknown flag are refused, all at once; nothing is changed", () => {
  const command = commandOf("command: nmap\ninputs: { --top-ports: { type: integer }, -p: { type: text } }\n");
  const values = Object.freeze({ "--top-ports": "abc", "-q": true });
  assert.deepEqual(given(command, values), {
    problems: [
      'unknown input "-q"; did you mean -p?',
      '--top-ports: expected a whole number, got "abc"',
    ],
  });
});
