import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeHead } from "../../runtime/store/sqlite/frame.ts";
import { rulesFolder } from "./folder.ts";
import { type Program, start } from "./program.ts";

const RULE = {
  "in.yaml":
    'when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\nthen:\n  - log: "seen ${{ event.data.id }}"\n',
};

async function send(program: Program, ...ids: string[]): Promise<void> {
  for (const id of ids) assert.equal((await program.post("/hooks/in", { id })).status, 202, id);
  await program.waitFor(
    "their runs",
    () => ids.every((id) => program.lines.some(({ message }) => message === `seen ${id}`)),
  );
  await program.waitFor(
    "their ends",
    () => program.lines.filter(({ message }) => message.startsWith("in succeeded")).length >= ids.length,
  );
}

async function isKnown(program: Program, id: string): Promise<boolean> {
  const { status } = await program.post("/hooks/in", { id });
  return status === 200;
}

async function filesIn(data: string, pattern: RegExp): Promise<string[]> {
  return (await readdir(data)).filter((name) => pattern.test(name)).sort().map((name) => join(data, name));
}

const warnings = (program: Program) =>
  program.lines.filter(({ level }) => /WARN|ERROR/.test(level)).map(({ message }) => message);

Deno.test("a torn last frame is dropped without a word", async () => {
  await using folder = await rulesFolder(RULE);
  {
    await using program = start(folder.rules, { data: folder.data });
    await send(program, "a", "b");
    await program.kill();
  }
  const [journal] = (await filesIn(folder.data, /^journal-/)).slice(-1);
  const bytes = await readFile(journal);
  // The beginning of a frame, as a power cut leaves it.
  const torn = new Uint8Array([...bytes, ...bytes.subarray(0, 37)]);
  await writeFile(journal, torn);
  await using program = start(folder.rules, { data: folder.data });
  assert.ok(await isKnown(program, "a") && await isKnown(program, "b"));
  assert.deepEqual(warnings(program), []);
});

Deno.test("a flipped bit: the checkpoint before, else all is set aside with a loud message; and never twice", async () => {
  await using folder = await rulesFolder(RULE);
  const flip = async (file: string) => {
    const bytes = await readFile(file);
    bytes[bytes.length >> 1] ^= 4;
    await writeFile(file, bytes);
  };
  for (const id of ["a", "b"]) {
    await using program = start(folder.rules, { data: folder.data });
    await send(program, id);
    assert.equal(await program.stop(), 0);
  }
  await flip((await filesIn(folder.data, /^checkpoint-/)).at(-1)!);
  {
    await using program = start(folder.rules, { data: folder.data });
    assert.ok(await isKnown(program, "a") && await isKnown(program, "b"));
    assert.ok(warnings(program).some((message) => /had to be recovered/.test(message)), program.output);
    await send(program, "c");
    await program.kill();
  }
  for (const file of await filesIn(folder.data, /^(checkpoint|journal)-/)) await flip(file);
  {
    await using program = start(folder.rules, { data: folder.data });
    assert.ok(!await isKnown(program, "a"), "as on the first day");
    assert.ok(warnings(program).some((message) => /DAMAGED.*set-aside-/i.test(message)), program.output);
    const [aside] = await filesIn(folder.data, /^set-aside-.*$/);
    assert.ok((await readdir(aside)).length > 0);
    await program.kill();
  }
  await using program = start(folder.rules, { data: folder.data });
  assert.ok(await isKnown(program, "a"), "what came after it is there");
  assert.deepEqual(warnings(program), []);
});

Deno.test("a store of a newer version is refused with what to do, and left as it is", async () => {
  await using folder = await rulesFolder(RULE);
  {
    await using program = start(folder.rules, { data: folder.data });
    await send(program, "a");
    assert.equal(await program.stop(), 0);
  }
  const [checkpoint] = (await filesIn(folder.data, /^checkpoint-/)).slice(-1);
  const next = Number(/checkpoint-(\d+)/.exec(checkpoint)![1]) + 1;
  await writeFile(join(folder.data, `journal-${String(next).padStart(12, "0")}`), encodeHead(next, 99));
  const before = await filesIn(folder.data, /^(journal|checkpoint)-/);
  await using program = start(folder.rules, { data: folder.data });
  assert.notEqual(await program.exited, 0);
  assert.match(program.output, /newer/);
  assert.deepEqual(await filesIn(folder.data, /^(journal|checkpoint)-/), before);
});

Deno.test("a disk that takes nothing: 503 with Retry-After, runs wait for it, and all goes on without a restart", async (t) => {
  if (spawnSync("prlimit", ["--version"]).status !== 0) {
    return void await t.step({ name: "prlimit is not available here", ignore: true, fn() {} });
  }
  await using folder = await rulesFolder(RULE);
  // Ignored, the signal of a file that may not grow becomes the write's error.
  const under = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh"];
  await using program = start(folder.rules, { data: folder.data, under });
  await send(program, "before");
  const mayWrite = (limit: string) => {
    const { status, stderr } = spawnSync("prlimit", ["--pid", String(program.child.pid), `--fsize=${limit}:`]);
    assert.equal(status, 0, String(stderr));
  };
  mayWrite("0");
  // Caught in the middle: it is neither taken nor refused before the disk has spoken.
  const caught = program.post("/hooks/in", { id: "caught" });
  await program.waitForMessage("nothing new is taken in");
  const refused = await program.fetch("/hooks/in", { method: "POST", body: '{"id":"first"}' });
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers.get("retry-after")) > 0);
  assert.match((await refused.json()).error, /disk/i);
  assert.equal((await program.fetch("/healthz")).status, 200);
  for (let count = 0; count < 5; count++) assert.equal((await program.post("/hooks/in", { id: "again" })).status, 503);
  mayWrite("unlimited");
  await program.waitForMessage("accepts writes again");
  assert.equal((await caught).status, 202);
  await send(program, "after");
  for (const id of ["first", "again"]) assert.ok(!await isKnown(program, id), `${id} was refused, so it is new`);
  assert.ok(await isKnown(program, "before") && await isKnown(program, "caught"));
  assert.equal(await program.stop(), 0);
});
