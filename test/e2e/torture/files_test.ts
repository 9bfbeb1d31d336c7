import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { encodeHead, readFrame } from "../../../runtime/store/sqlite/frame.ts";
import { rulesFolder } from "../folder.ts";
import { type Program, start, temporaryFolder, whenthen } from "../program.ts";
import { PATIENCE } from "../until.ts";
import { between, isLong, within } from "./size.ts";

/** Nothing ever runs, so that each event is one commit, one frame of the journal. */
const RULE = {
  "in.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id }
if: event.data.id == "never"
then:
  - log: never
`,
};
const KNOWN = ["a", "b", "c", "d", "e"];
const DROPPED = /bytes of journal-\d+ are no whole commit and were dropped/;
const ASIDE = /DAMAGED AND WAS SET ASIDE/;

async function send(program: Program, ...ids: string[]): Promise<void> {
  for (const id of ids) assert.equal((await program.post("/hooks/in", { id })).status, 202, id);
}

async function isKnown(program: Program, id: string): Promise<boolean> {
  return (await program.post("/hooks/in", { id })).status === 200;
}

const warnings = (program: Program) =>
  program.lines.filter(({ level }) => /WARN|ERROR/.test(level)).map(({ message }) => message);

async function storeFiles(data: string): Promise<string[]> {
  return (await readdir(data)).filter((name) => /^(checkpoint|journal)-/.test(name)).sort();
}

/** All kinds of files: two checkpoints, the segment between them, two segments behind the newer one. */
async function prepare() {
  const folder = await rulesFolder(RULE);
  for (const [ids, end] of [["a", "stop"], ["b", "stop"], ["cd", "kill"], ["e", "kill"]] as const) {
    await using program = start(folder.rules, { data: folder.data });
    await send(program, ...ids);
    await program[end]();
  }
  return folder;
}

/** Runs the program on a damaged copy of a data folder. */
async function withCopy(
  folder: { rules: string; data: string },
  damage: (data: string) => Promise<void>,
  work: (launch: () => Program, data: string) => Promise<void>,
): Promise<void> {
  await using copy = await temporaryFolder();
  const data = join(copy.path, "data");
  await cp(folder.data, data, { recursive: true });
  await damage(data);
  await work(() => start(folder.rules, { data }), data);
}

/** Where each frame of a segment begins and ends. */
function framesOf(bytes: Uint8Array): { from: number; end: number }[] {
  const frames = [];
  for (let from = 0, frame; (frame = readFrame(bytes, from)); from = frame.end) frames.push({ from, end: frame.end });
  return frames;
}

Deno.test("the last commit cut at any byte: it is dropped, with a word; everything before it is there", async () => {
  await using folder = await prepare();
  const last = (await storeFiles(folder.data)).at(-1)!;
  const bytes = await readFile(join(folder.data, last));
  const { from, end } = framesOf(bytes).at(-1)!;
  const lengths = isLong
    ? Array.from({ length: end - from }, (_, at) => from + at)
    : [from, between(from + 1, from + 19), from + 20, between(from + 21, end - 2), end - 1];
  for (const length of lengths) {
    const cut = (data: string) => writeFile(join(data, last), bytes.subarray(0, length));
    await withCopy(folder, cut, async (launch) => {
      await using program = launch();
      for (const id of ["a", "b", "c", "d"]) assert.ok(await isKnown(program, id), `${id}, cut at ${length}`);
      assert.ok(!await isKnown(program, "e"), `cut at ${length}`);
      assert.deepEqual(warnings(program).map((warning) => DROPPED.test(warning)), length === from ? [] : [true]);
    });
  }
});

interface Place {
  file: string;
  what: string;
  at: number;
  /** It belongs to the last commit: damage there looks like a write that was cut short. */
  last?: true;
}

/** A byte of each region of each file. */
async function places(data: string): Promise<Place[]> {
  const files = await storeFiles(data);
  const all: Place[] = [];
  for (const file of files) {
    const bytes = await readFile(join(data, file));
    if (file.startsWith("checkpoint")) {
      const regions = { header: 30, schema: 3_000, middle: bytes.length >> 1, end: bytes.length - 1 };
      for (const [what, at] of Object.entries(regions)) all.push({ file, what, at });
      continue;
    }
    const frames = framesOf(bytes);
    for (const [index, { from, end }] of frames.entries()) {
      const last = file === files.at(-1) && index === frames.length - 1;
      for (
        const [what, at] of Object.entries({ mark: 1, length: 4, seq: 9, checksum: 17, payload: (end - from) >> 1 })
      ) {
        all.push({ file, what: `${what} of frame ${index}`, at: from + at, ...last && { last } });
      }
    }
  }
  return all;
}

/** In the short form: the last commit, the newest checkpoint, and a few others. */
function choose(all: Place[]): Place[] {
  if (isLong) return all;
  const newest = all.filter(({ file }) => file.startsWith("checkpoint")).at(-1)!;
  const last = all.filter((place) => place.last);
  const others = Array.from({ length: 5 }, () => all[between(0, all.length - 1)]);
  return [newest, last[between(0, last.length - 1)], ...others];
}

Deno.test("a flipped bit in any region of any file: the last commit, or all set aside, loudly; never half, and never again", async () => {
  await using folder = await prepare();
  for (const place of choose(await places(folder.data))) {
    const bit = between(0, 7);
    const what = `bit ${bit} of ${place.what} in ${place.file}`;
    const flip = async (data: string) => {
      const path = join(data, place.file);
      const bytes = await readFile(path);
      bytes[place.at] ^= 1 << bit;
      await writeFile(path, bytes);
    };
    await withCopy(folder, flip, async (launch, data) => {
      {
        await using program = launch();
        const known = [];
        for (const id of KNOWN) if (await isKnown(program, id)) known.push(id);
        const said = warnings(program).join("\n");
        if (known.length === 0) {
          assert.match(said, ASIDE, what);
          assert.ok((await readdir(data)).some((name) => name.startsWith("set-aside-")), what);
        } else if (place.last) {
          assert.deepEqual(known, KNOWN.slice(0, -1), what);
          assert.match(said, DROPPED, what);
        } else assert.deepEqual(known, KNOWN, what);
        await send(program, "after");
        await program.kill();
      }
      await using program = launch();
      for (const id of [...KNOWN, "after"]) assert.ok(await isKnown(program, id), `${id}, ${what}`);
      assert.deepEqual(warnings(program), [], what);
    });
  }
});

Deno.test("a checkpoint that the disk cannot read any more: the one before it, and the journal behind that", async (t) => {
  await using folder = await prepare();
  const newest = join(
    folder.data,
    (await storeFiles(folder.data)).filter((name) => name.startsWith("checkpoint")).at(-1)!,
  );
  const calls = "read,pread64,readv,preadv";
  const under = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", newest, "-e", `trace=${calls}`];
  under.push("-e", `inject=${calls}:error=EIO`);
  if (spawnSync(under[0], [...under.slice(1), "true"]).status !== 0) {
    return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
  }
  {
    await using program = start(folder.rules, { data: folder.data, under });
    for (const id of KNOWN) assert.ok(await isKnown(program, id), id);
    assert.match(warnings(program).join(), /had to be recovered from checkpoint-.* cannot be read/);
    await send(program, "after");
  }
  await using program = start(folder.rules, { data: folder.data });
  for (const id of [...KNOWN, "after"]) assert.ok(await isKnown(program, id), id);
});

Deno.test("a store of a newer version is refused with what to do, and left as it is", async () => {
  await using folder = await prepare();
  const files = await storeFiles(folder.data);
  const newerSegment = async (data: string) => {
    const last = files.at(-1)!;
    const next = Number(last.slice(-12)) + framesOf(await readFile(join(data, last))).length - 1;
    await writeFile(join(data, `journal-${String(next).padStart(12, "0")}`), encodeHead(next, 99));
  };
  const newerCheckpoint = async (data: string) => {
    const old = join(data, files.filter((name) => name.startsWith("checkpoint")).at(-1)!);
    const database = new DatabaseSync(old);
    database.exec("UPDATE meta SET value = 99 WHERE name = 'schema'");
    database.close();
    await rename(
      old,
      old.replace(/[0-9a-f]{8}\.sqlite$/, `${crc32(await readFile(old)).toString(16).padStart(8, "0")}.sqlite`),
    );
  };
  for (const damage of [newerSegment, newerCheckpoint]) {
    await withCopy(folder, damage, async (launch, data) => {
      const before = await storeFiles(data);
      await using program = launch();
      assert.equal(await within(PATIENCE, "the end of the program", program.exited), 64);
      assert.match(program.output, /^Cannot open the store: .*use the newer program, or another --data folder\n$/);
      assert.deepEqual(await storeFiles(data), before);
    });
  }
});

Deno.test("two programs on one data folder: the second is refused, the first goes on", async () => {
  await using folder = await rulesFolder(RULE);
  await using first = start(folder.rules, { data: folder.data });
  await send(first, "a");
  const seconds = await Promise.all(["run", "once"].map((command) => {
    return whenthen([command, folder.rules, "--data", folder.data]);
  }));
  for (const { code, stderr } of seconds) {
    assert.notEqual(code, 0);
    assert.match(stderr, /another whenthen is running/);
  }
  await send(first, "b");
  await first.kill();
  await using again = start(folder.rules, { data: folder.data });
  for (const id of ["a", "b"]) assert.ok(await isKnown(again, id));
  assert.deepEqual(warnings(again), []);
});
