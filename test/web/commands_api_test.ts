import assert from "node:assert/strict";
import { commandOf } from "../commands/support.ts";
import { openBench } from "./harness.ts";

const COMMAND = {
  ...commandOf(`command: curl
name: cURL
inputs:
  --retry: { type: integer }
  --retry-delay: { type: integer, requires: [--retry] }
  -s: { type: boolean, requires: [-S] }
  -S: { type: boolean }
`),
  id: "commands/curl",
};

async function bench() {
  const opened = await openBench([]);
  const { rules } = opened.context;
  opened.context.rules = () => ({ ...rules(), commands: new Map([[COMMAND.id, COMMAND]]) });
  return opened;
}

Deno.test("GET /api/commands lists the commands, /api/commands/<id> gives one with its inputs", async () => {
  await using web = await bench();
  assert.deepEqual((await web.ask("GET", "/api/commands")).body, [{
    id: "commands/curl",
    name: "cURL",
    file: "x.yaml",
    program: "curl",
    root: false,
    inputs: ["--retry", "--retry-delay", "-s", "-S"],
  }]);
  const { body } = await web.ask("GET", "/api/commands/commands/curl");
  assert.deepEqual(body.inputs["--retry-delay"], { type: "integer", required: false, requires: ["--retry"] });
  assert.equal((await web.ask("GET", "/api/commands/none")).status, 404);
});

Deno.test("POST /api/commands/<id>/check gives argv, or all problems, and the completed set; pairs keep their order", async () => {
  await using web = await bench();
  const check = async (given: unknown) =>
    (await web.post("/api/commands/commands/curl/check", { with: given } as never)).body;
  assert.deepEqual((await check([["-S", true], ["--retry", 3], ["-s", true]])).argv, ["-S", "--retry", "3", "-s"]);
  const refused = await check({ "-s": true, "--retry-delay": "x" });
  assert.equal(refused.argv, null);
  assert.deepEqual(refused.problems.map(({ says }: { says: string }) => says), [
    "--retry is missing: --retry-delay requires --retry",
    '--retry-delay: expected a whole number, got "x"',
    "-S is missing: -s requires -S",
  ]);
  const { complete } = await check({ "-s": true });
  assert.deepEqual([complete.set, complete.added, complete.open], [["-S", "-s"], ["-S"], []]);
  assert.equal((await web.post("/api/commands/none/check", {})).status, 404);
});
