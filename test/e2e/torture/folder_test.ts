import assert from "node:assert/strict";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";

const hook = (name: string, text = name) => `when: { webhook: /${name}, auth: none }\nthen:\n  - log: ${text}\n`;

/** The state of each rule, by id. */
async function states(program: Program): Promise<Record<string, string>> {
  const rules: { id: string; state: string }[] = await program.api("rules");
  return Object.fromEntries(rules.map(({ id, state }) => [id, state]));
}

/** Line breaks for some and not for others, each in a line with an error. */
const STRANGE_LINES = ["a\rb\n(c: d)", "a\u2028b\n(c: d)", "x: a\u2029b: c: d\n"];

Deno.test("strange line breaks in a line with an error: a problem of that file, at a start and at a reload", async () => {
  await using folder = await rulesFolder({ "a.yaml": hook("a") });
  for (const [index, text] of STRANGE_LINES.entries()) await folder.write(`bad${index}.yaml`, text);
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const bad = { bad0: "broken", bad1: "broken", bad2: "broken" };
  assert.deepEqual(await states(program), { a: "on", ...bad });

  await folder.write("config.yaml", STRANGE_LINES[0]);
  await program.waitFor("a problem of config.yaml", ({ properties }) => properties.file === "config.yaml");
  await folder.write("config.yaml", "all: {}\n");
  await folder.write("b.yaml", hook("b"));
  await program.waitForMessage("loaded b");
  assert.deepEqual(await states(program), { a: "on", b: "on", ...bad });
});
