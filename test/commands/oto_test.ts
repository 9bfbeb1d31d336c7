import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "yaml";
import { commandAsDot } from "../../runtime/commands/command_inputs.ts";
import { exportOto, importOto, type OtoImport } from "../../runtime/commands/oto.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { commandOf, given } from "./support.ts";

const parameter = (flag: string, more: JsonObject = {}): JsonObject => ({
  flag,
  description: `What ${flag} does`,
  executable_tag: "nmap - 7.98",
  requires_root: false,
  requires_value: true,
  value_type: "string",
  ...more,
});

const NMAP = [
  parameter("-iR", { value_type: "int" }),
  parameter("-Pn", { requires_value: false, value_type: "bool" }),
  parameter("-PS", { requires_root: true, requires_value: false }),
  parameter("--ratio", { value_type: "float" }),
  parameter("--rtt", { value_type: "string (time)" }),
  parameter("--ports", { value_type: "tuple", description: "" }),
  parameter("--log", { value_type: "path", require_ids: ["-iR", "--rtt"] }),
  parameter("--ip", { value_type: "ip", interfer_ids: ["-Pn"] }),
  parameter("--port", { value_type: "port", require_ids: [], interfer_ids: null }),
  parameter("--quiet", { requires_value: false, value_type: "none" }),
  parameter("--empty", { requires_value: false, value_type: "" }),
  parameter("--yes", { value_type: "bool" }),
  parameter("<target>", {}),
  parameter("-sT", { interfer_ids: ["-Pn", "-sU"], requires_value: false, value_type: "bool" }),
];

/** The command that an import gives, written as a file and read again. */
function imported(parameters: Json) {
  const { tag, program, inputs, dangling } = importOto(parameters) as OtoImport;
  return { tag, program, dangling, command: commandOf(stringify({ command: program, inputs })) };
}

Deno.test("an import of OTO's export has its types, and its export is the same again", () => {
  const { command, tag, program, dangling } = imported(NMAP);
  assert.equal(program, "nmap");
  assert.deepEqual(dangling, ["-sT conflicts with -sU, which is not there"]);
  assert.deepEqual(exportOto(command, tag), { parameters: NMAP, lost: [] });
  const types = Object.fromEntries(
    Object.entries(command.inputs).map(([name, { type, value }]) => [name, value ?? type]),
  );
  assert.deepEqual(types, {
    "-iR": "integer",
    "-Pn": "boolean",
    "-PS": "optional",
    "--ratio": "number",
    "--rtt": "text",
    "--ports": "list",
    "--log": "path",
    "--ip": "ip",
    "--port": "port",
    "--quiet": "boolean",
    "--empty": "boolean",
    "--yes": "choice",
    "<target>": "text",
    "-sT": "boolean",
  });
  assert.deepEqual(given(command, { "--yes": "true", "<target>": "host", "--log": "a.log", "-iR": 3, "--rtt": "5s" }), [
    ...["--yes", "true", "--log", "a.log", "-iR", "3", "--rtt", "5s", "host"],
  ]);
  assert.deepEqual(given(command, { "<target>": "-oN" }), {
    problems: [
      '<target>: "-oN" begins with -, so the program would read it as a flag; if the program knows it, add end: "--"',
    ],
  });
});

Deno.test("whatever an export of one executable has, it comes out again", () => {
  const flags = ["-a", "--bee", "<c>", "dee", "-e"];
  const ids = fc.option(fc.uniqueArray(fc.constantFrom(...flags, "-gone")), { nil: null });
  const one = fc.record({
    description: fc.option(fc.string(), { nil: null }),
    requires_root: fc.boolean(),
    requires_value: fc.boolean(),
    value_type: fc.constantFrom(
      "int",
      "string",
      "tuple",
      "path",
      "float",
      "ip",
      "port",
      "bool",
      "none",
      "",
      "string (x)",
    ),
    require_ids: ids,
    interfer_ids: ids,
    extra: fc.anything({ values: [fc.string(), fc.integer(), fc.constant(null)], maxDepth: 1 }),
  }, { requiredKeys: ["requires_root", "requires_value", "value_type"] });
  fc.assert(fc.property(fc.array(one, { minLength: 1, maxLength: flags.length }), (list) => {
    const all = list.map((each, index) => ({
      flag: flags[index],
      executable_tag: "t",
      ...each,
    })) as unknown as JsonObject[];
    const { inputs, tag } = importOto(all) as OtoImport;
    const command = { id: "x", inputs, fixed: [], root: false, complete: false } as unknown as Parameters<
      typeof exportOto
    >[0];
    assert.deepEqual(exportOto(command, tag).parameters, all);
  }));
});

Deno.test("what OTO's export cannot hold is named", () => {
  const command = commandOf(`command: curl
version: "8.5"
inputs:
  -m: { type: integer, join: "", min: 1 }
  --data: { type: text, requires: [{ any: [-m, urls] }] }
  urls: { type: list, of: url, position: last }
end: "--"
`);
  assert.deepEqual(exportOto(command, "curl").lost, [
    'OTO\'s export cannot hold "version" of x',
    'OTO\'s export cannot hold "end" of x',
    'OTO\'s export cannot hold "min" of -m',
    'OTO\'s export cannot hold "join" of -m',
    'OTO\'s export cannot hold "any" in "requires" of --data',
    'OTO\'s export cannot hold "position" of urls',
    'OTO\'s export cannot hold "of" of urls',
  ]);
});

Deno.test("what is no export of one executable is refused", () => {
  const problem = (value: unknown) => (importOto(value) as { problem?: string }).problem;
  assert.match(problem({})!, /expected a list/);
  assert.match(problem([{ flag: "-a" }])!, /is missing/);
  assert.equal(problem([parameter("-a"), parameter("-a")]), "-a stands there twice");
  assert.equal(
    problem([parameter("-a"), parameter("-b", { executable_tag: "curl" })]),
    "it has several executables: nmap - 7.98, curl",
  );
});

Deno.test("the graph has an arrow for what is required and a dashed line for what is excluded", () => {
  const command = commandOf(`command: tool
inputs:
  a: { type: boolean, requires: [b, { any: [c, d] }] }
  b: { type: boolean }
  c: { type: boolean, conflicts: [d] }
  d: { type: boolean, conflicts: [c] }
  e: { type: boolean }
`);
  assert.equal(
    commandAsDot(command),
    `digraph "x" {
  rankdir=LR;
  node [shape=box];
  "e";
  "a" -> "b";
  "a" -> "c" [style=dotted, label="any"];
  "a" -> "d" [style=dotted, label="any"];
  "c" -> "d" [dir=none, style=dashed, color=red];
}
`,
  );
});
