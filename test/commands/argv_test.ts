import fc from "fast-check";
import assert from "node:assert/strict";
import { checkSet } from "../../runtime/commands/check_set.ts";
import { commandOf, given } from "./support.ts";

Deno.test("argv: first, then as the caller wrote it, then defaults as declared, then last behind end", () => {
  const command = commandOf(`command: tool
inputs:
  -a: { type: integer }
  -d: { type: text, default: std }
  -b: { type: boolean }
  sub: { type: boolean, position: first }
  files: { type: list, of: text, position: last }
  "<target>": { type: text }
end: "--"
`);
  const values = { files: ["x", "-y"], "-b": true, "<target>": "t", sub: true, "-a": 5 };
  assert.deepEqual(given(command, values), ["sub", "-b", "-a", "5", "-d", "std", "--", "x", "-y", "t"]);
  assert.deepEqual(given(command, {}), ["-d", "std"]);
});

Deno.test("argv: a list of pairs keeps its order", () => {
  const command = commandOf("command: tool\ninputs: { -a: { type: text }, -b: { type: text } }\n");
  assert.deepEqual(given(command, [["-b", "1"], ["-a", "2"]]), ["-b", "1", "-a", "2"]);
  assert.deepEqual(given(command, [["-a", "2"], ["-b", "1"]]), ["-a", "2", "-b", "1"]);
});

Deno.test("argv: with only, its order wins, and nothing else can be set", () => {
  const command = commandOf(`command: openssl
inputs:
  genpkey: { type: boolean }
  -out: { type: path }
  -pkeyopt: { type: text }
  -algorithm: { type: choice, choices: [RSA, EC] }
  -text: { type: boolean }
only: [genpkey, -algorithm, -pkeyopt, -out]
with: { -algorithm: RSA, genpkey: true }
`);
  const values = { "-out": "key.pem", "-pkeyopt": "rsa_keygen_bits:2048" };
  assert.deepEqual(given(command, values), [
    ...["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"],
  ]);
  assert.deepEqual(given(command, { "-algorithm": "EC", "-text": true, "-ou": "x" }), {
    problems: [
      '-algorithm is fixed: it is always "RSA"; take it out',
      "-text cannot be set here; here can be set: -pkeyopt, -out",
      'unknown input "-ou"; did you mean "-out"?',
    ],
  });
});

Deno.test("argv: without only, what is fixed comes first, as written", () => {
  const command = commandOf(`command: tool
inputs: { -a: { type: text }, -b: { type: text }, -c: { type: text } }
with: { -c: 1.10, -a: x }
`);
  assert.deepEqual(given(command, { "-b": "y" }), ["-c", "1.10", "-a", "x", "-b", "y"]);
});

Deno.test("argv: after and before move an input to another one, if that is set", () => {
  const command = commandOf(`command: tool
inputs:
  -a: { type: boolean }
  -b: { type: boolean, after: -d }
  -c: { type: boolean, before: -a }
  -d: { type: boolean, after: -a }
  -e: { type: boolean, after: -x }
  -x: { type: boolean }
`);
  const all = { "-b": true, "-a": true, "-c": true, "-d": true, "-e": true, "-x": true };
  assert.deepEqual(given(command, all), ["-c", "-a", "-d", "-b", "-x", "-e"]);
  assert.deepEqual(given(command, { "-b": true, "-e": true, "-c": true }), ["-b", "-e", "-c"]);
});

Deno.test("argv: several inputs after one stay in their order", () => {
  const command = commandOf(`command: tool
inputs: { -a: { type: boolean }, -b: { type: boolean, after: -a }, -c: { type: boolean, after: -a }, -d: { type: boolean } }
`);
  assert.deepEqual(given(command, { "-c": true, "-b": true, "-d": true, "-a": true }), ["-d", "-a", "-c", "-b"]);
});

Deno.test("argv: how flag and value meet", () => {
  const command = commandOf(`command: tool
inputs:
  -m: { type: integer, join: "" }
  --color: { type: text, join: "=", value: optional }
  --name: { type: text }
  if: { type: path, join: "=" }
`);
  assert.deepEqual(given(command, { "-m": 5, "--color": "red", "--name": "", if: "a b" }), [
    ...["-m5", "--color=red", "--name", "", "if=a b"],
  ]);
  assert.deepEqual(given(command, { "--color": true }), ["--color"]);
  assert.deepEqual(given(command, { "--color": false }), []);
});

Deno.test("argv: a list repeats its flag, or is one argument with commas", () => {
  const command = commandOf(`command: tool
inputs:
  -H: { type: list, of: text }
  -p: { type: list, of: port, each: ",", join: "" }
  files: { type: list, of: text, position: first, each: "," }
`);
  assert.deepEqual(given(command, { "-H": ["a: 1", "b"], "-p": [22, 80], files: ["x", "y"] }), [
    ...["x,y", "-H", "a: 1", "-H", "b", "-p22,80"],
  ]);
  assert.deepEqual(given(command, { "-H": [], files: ["a,b"] }), {
    problems: ["files: an item with a comma would become two; use each: repeat, or items without commas"],
  });
});

Deno.test("argv: numbers are written without an exponent", () => {
  const command = commandOf("command: tool\ninputs: { -n: { type: integer }, -f: { type: number } }\n");
  assert.deepEqual(given(command, { "-n": 1e21, "-f": 0.5 }), ["-n", "1000000000000000000000", "-f", "0.5"]);
  assert.deepEqual(given(command, { "-n": 9007199254740993n }), ["-n", "9007199254740993"]);
});

Deno.test("argv: a value stays one argument, whatever is in it", () => {
  const command = commandOf(
    "command: tool\ninputs: { -x: { type: text }, v: { type: text, position: last } }\nend: --\n",
  );
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    if (text.includes("\0")) return;
    assert.deepEqual(given(command, { "-x": text, v: text }), ["-x", text, "--", text]);
  }));
  const evil = "; rm -rf / && $(reboot) `id` | cat\n* ~ \"'";
  assert.deepEqual(given(command, { "-x": evil }), ["-x", evil]);
});

Deno.test("argv: NUL, half a character, and a positional that begins with - are refused", () => {
  const command = commandOf(`command: tool
inputs:
  -x: { type: text, join: "" }
  "<file>": { type: text }
  more: { type: list, of: text, position: first }
`);
  assert.deepEqual(given(command, { "-x": "a\0b", "<file>": "-rf", more: ["a", "-b"] }), {
    problems: [
      "-x: an argument cannot contain NUL; take it out",
      '<file>: "-rf" begins with -, so the program would read it as a flag; if the program knows it, add end: "--"',
      'more: "-b" begins with -, so the program would read it as a flag; begin it with ./ if it is a path',
    ],
  });
  assert.deepEqual(given(command, { "-x": "\ud800" }), {
    problems: ["-x: an argument cannot contain half of a surrogate pair; it has no form in UTF-8"],
  });
  assert.deepEqual(given(command, { "-x": "" }), {
    problems: ["-x: an empty value behind -x would leave the flag alone; give it a value"],
  });
});

Deno.test("argv: end does not protect what comes first", () => {
  const command = commandOf(`command: tool\ninputs: { a: { type: text, position: first } }\nend: "--"\n`);
  assert.ok("problems" in given(command, { a: "-x" }));
});

Deno.test("argv: a secret is a file, or not there at all", () => {
  const command = commandOf(`command: curl
inputs:
  --token: { type: secret, choices: [API_TOKEN], pass: file }
  --in: { type: secret, choices: [API_TOKEN], pass: stdin }
  --env: { type: secret, choices: [API_TOKEN], pass: env TOKEN }
`);
  assert.deepEqual(given(command, { "--token": "API_TOKEN", "--in": "API_TOKEN", "--env": "API_TOKEN" }), [
    ...["--token", "(file with API_TOKEN for --token)"],
  ]);
});

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
      'unknown input "-q"; did you mean "-p"?',
      '--top-ports: expected a whole number, got "abc"',
    ],
  });
});
