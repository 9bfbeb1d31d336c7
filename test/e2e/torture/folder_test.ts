import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { rulesFolder } from "../folder.ts";
import { type Program, start, whenthen } from "../program.ts";
import { TIMEOUT, until, within } from "../until.ts";

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

Deno.test("pipes, devices, huge files and names that are not UTF-8: problems of those files; the rest is loaded, reloaded and served", async () => {
  await using folder = await rulesFolder({ "a.yaml": hook("a"), "code.ts": 'import "./pipe.js";' });
  const script = `
    cd "$1"
    for name in pipe.yaml pipe.ts pipe.js pipe.txt pipe.test.ts config.prod.yaml .env; do mkfifo "$name"; done
    for name in zero.yaml zero.ts; do ln -s /dev/zero "$name"; done
    for name in huge.yaml huge.ts; do truncate -s 3G "$name"; done
    mkdir "$(printf 'dir\\377')"
    for name in 'bad\\377.yaml' 'dir\\377/in.yaml'; do echo 'when: start' > "$(printf "$name")"; done
  `;
  execFileSync("bash", ["-ec", script, "bash", folder.rules]);
  const args = ["--env", "prod"];
  await using program = start(folder.rules, { data: folder.data, args });
  await program.url();
  const broken = ["bad\uFFFD", "huge", "pipe", "zero"];
  const expected = Object.fromEntries([["a", "broken"], ...broken.map((id) => [id, "broken"])]);
  // What takes longer than the first load waits comes with a later one.
  await until("all to be known", () => states(program), (known) => isDeepStrictEqual(known, expected));

  await rm(join(folder.rules, "config.prod.yaml"));
  await program.waitForMessage("loaded a");
  await folder.write("b.yaml", hook("b"));
  await program.waitForMessage("loaded b");
  for (const path of ["/hooks/a", "/hooks/b"]) assert.equal((await program.post(path, {})).status, 202);
  const files = [
    ".env",
    "bad\uFFFD.yaml",
    "code.ts",
    "dir\uFFFD",
    "huge.ts",
    "huge.yaml",
    "pipe.ts",
    "pipe.yaml",
    "zero.ts",
    "zero.yaml",
  ];
  const named = async () => (await program.api("problems")).map(({ file }: { file: string }) => file);
  await until("all problems", named, (seen) => isDeepStrictEqual(seen, files));

  const tested = await within(
    TIMEOUT,
    "the tests",
    whenthen(["test", folder.rules, "--data", `${folder.data}2`, "--json"]),
  );
  assert.ok(JSON.parse(tested.stdout).problems.some(({ file }: { file: string }) => file === "pipe.test.ts"));
  assert.equal(await program.stop(), 0);
});
