import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { realDisk } from "../../../runtime/host/disk.ts";
import { idsName, sortFiles } from "../../../runtime/store/log/files.ts";
import { encodeHead, readFrame } from "../../../runtime/store/log/log_frame.ts";
import { readSegment } from "../../../runtime/store/log/segment_log.ts";
import { storeTasks } from "../../../runtime/store/background.ts";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start, temporaryFolder, whenthen } from "../program.ts";
import { until } from "../until.ts";
import { listAll } from "./provider.ts";
import { between, isLong } from "./size.ts";

const RULES = {
  // No run ever starts, so each event is one commit, one frame of the log.
  "in.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id }
if: event.data.id == "never"
then:
  - log: never
`,
  // Live state: runs that wait.
  "wait.yaml": `
when: { webhook: /wait, auth: none, dedupe: event.data.id }
then:
  - wait: 30d
`,
};
const KNOWN = ["a", "b", "c", "d", "e"];
const WAITING = ["w-a", "w-b", "w-c", "w-d"];
const DROPPED = /bytes of log-\d+ are not a whole commit and were dropped/;
const RECOVERED = /had to be recovered from base-\d+: (base|ids)-.* (is damaged|ends within|cannot be read)/;
const ASIDE = /THE STORE IS DAMAGED AND WAS SET ASIDE/;
const UNREADABLE = /^Cannot read (part-[\w-]+\.sqlite): .*; the history in it is not shown$/;
const GONE = /^Cannot find (part-[\w-]+\.sqlite), a part of history: its history is no longer shown$/;

async function send(program: Program, ...ids: string[]): Promise<void> {
  for (const id of ids) assert.equal((await program.post("/hooks/in", { id })).status, 202, id);
}

async function isKnown(program: Program, id: string): Promise<boolean> {
  const path = id.startsWith("w-") ? "/hooks/wait" : "/hooks/in";
  return (await program.post(path, { id })).status === 200;
}

async function wait(program: Program, id: string): Promise<void> {
  assert.equal((await program.post("/hooks/wait", { id })).status, 202, id);
  await until("the run to wait", () => waiting(program), (ids) => ids.includes(id));
}

const idOf = ({ event }: Answered): string => event.data.id;

/** The events of the runs that wait. */
async function waiting(program: Program): Promise<string[]> {
  return (await program.api("runs?rule=wait&state=waiting")).map(idOf).sort();
}

/** The events in history of a rule without runs. */
async function listed(program: Program): Promise<string[]> {
  return (await listAll(program, "events", "in")).map(idOf).sort();
}

const warnings = (program: Program) =>
  program.lines.filter(({ level }) => /WARN|ERROR/.test(level)).map(({ message }) => message);

const filesOf = async (data: string) => sortFiles(await readdir(data));

async function storeFiles(data: string): Promise<string[]> {
  const { bases, deltas, ids, parts, segments } = await filesOf(data);
  return [bases, deltas, ids, parts, segments].flat().map(({ name }) => name).sort();
}

/** Folds all segments, as the next start would do. */
async function fold(data: string): Promise<void> {
  for (const { name, first } of (await filesOf(data)).segments) {
    const bytes = await readFile(join(data, name));
    const { frames } = readSegment(name, bytes, first, undefined);
    const segment = { name, firstSeq: first, lastSeq: frames.at(-1)!.seq, bytes: bytes.length };
    await storeTasks.fold(realDisk, data, segment);
  }
}

/** Merges, as the program does once there are 32 MB of deltas. */
async function merge(data: string): Promise<void> {
  const merged = await storeTasks.merge(realDisk, data, { now: Date.now(), retention: 30 * 86_400_000 });
  assert.ok(merged.result);
}

interface Folder {
  rules: string;
  data: string;
  /** The event in each part of a rule without runs. */
  parts: Map<string, string>;
}

/**
 * All kinds of files: two bases, each with its ids; a delta between them, one after the newer base, each with its ids; four
 * parts; a segment.
 */
async function prepare(): Promise<Folder & AsyncDisposable> {
  const folder = await rulesFolder(RULES);
  const { data } = folder;
  const parts = new Map<string, string>();
  for (const id of ["a", "b", "c", "d"]) {
    {
      await using program = start(folder.rules, { data });
      await wait(program, `w-${id}`);
      await send(program, id);
      await program.kill();
    }
    await fold(data);
    parts.set((await filesOf(data)).parts.at(-1)!.name, id);
    if (id === "b" || id === "c") await merge(data);
  }
  {
    await using program = start(folder.rules, { data });
    await send(program, "e");
    await program.kill();
  }
  const { bases, deltas, ids, segments, ...others } = await filesOf(data);
  const counts = [bases, deltas, ids, others.parts, segments].map(({ length }) => length);
  assert.deepEqual(counts, [2, 2, 4, 4, 1], "bases, deltas, ids files, parts, segments");
  return { ...folder, parts };
}

let preparing: Promise<Folder & AsyncDisposable> | undefined;

/** The same folder for all tests, which work on copies of it. */
const prepared = () => preparing ??= prepare();

Deno.test.afterAll(async () => await (await preparing)?.[Symbol.asyncDispose]());

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

/** Where each frame of a segment begins and ends; the first one is its header. */
function framesOf(bytes: Uint8Array): { from: number; end: number }[] {
  const frames = [];
  for (let from = 0, frame; (frame = readFrame(bytes, from)); from = frame.end) frames.push({ from, end: frame.end });
  return frames;
}

Deno.test("the last commit cut at any byte: it is dropped with a warning; everything before it is there", async () => {
  const folder = await prepared();
  const last = (await filesOf(folder.data)).segments.at(-1)!.name;
  const bytes = await readFile(join(folder.data, last));
  const { from, end } = framesOf(bytes).at(-1)!;
  const lengths = isLong
    ? Array.from({ length: end - from }, (_, at) => from + at)
    : [from, between(from + 1, from + 19), from + 20, between(from + 21, end - 2), end - 1];
  for (const length of lengths) {
    const cut = (data: string) => writeFile(join(data, last), bytes.subarray(0, length));
    await withCopy(folder, cut, async (launch) => {
      await using program = launch();
      assert.deepEqual(await waiting(program), WAITING, `cut at ${length}`);
      for (const id of ["a", "b", "c", "d"]) assert.ok(await isKnown(program, id), `${id}, cut at ${length}`);
      assert.ok(!await isKnown(program, "e"), `cut at ${length}`);
      assert.deepEqual(warnings(program).map((warning) => DROPPED.test(warning)), length === from ? [] : [true]);
    });
  }
});

/**
 * What a damaged file costs: nothing, if a start does not need it; the newest base, which is skipped; the last commit; the
 * history of one part; or everything.
 */
type Cost = "nothing" | "base" | "last commit" | "part" | "everything";

interface Place {
  file: string;
  what: string;
  at: number;
  cost: Cost;
}

/** A byte of each region of each file. */
async function places(data: string): Promise<Place[]> {
  const { bases, deltas, ids, parts, segments } = await filesOf(data);
  const newest = bases.at(-1)!.last;
  const costs: [{ name: string }, Cost][] = [
    ...bases.map((file) => [file, file.last === newest ? "base" : "nothing"] as [typeof file, Cost]),
    ...deltas.map((file) => [file, file.last > newest ? "everything" : "nothing"] as [typeof file, Cost]),
    ...ids.map((file) => {
      if (file.last > newest) return [file, "everything"] as [typeof file, Cost];
      return [file, file.first === 1 && file.last === newest ? "base" : "nothing"] as [typeof file, Cost];
    }),
    ...parts.map((file) => [file, "part"] as [typeof file, Cost]),
  ];
  const all: Place[] = [];
  for (const [{ name: file }, cost] of costs) {
    const { length } = await readFile(join(data, file));
    const regions = { mark: 1, header: 30, middle: length >> 1, end: length - 1 };
    for (const [what, at] of Object.entries(regions)) all.push({ file, what, at, cost });
  }
  for (const { name: file } of segments) {
    const frames = framesOf(await readFile(join(data, file)));
    for (const [index, { from, end }] of frames.entries()) {
      const cost = index === frames.length - 1 ? "last commit" : "everything";
      const regions = { mark: 1, length: 4, seq: 9, checksum: 17, payload: (end - from) >> 1 };
      for (const [what, at] of Object.entries(regions)) {
        all.push({ file, what: `${what} of frame ${index}`, at: from + at, cost });
      }
    }
  }
  return all;
}

/** In the short form: one file of each kind with each cost. */
function choose(all: Place[]): Place[] {
  if (isLong) return all;
  const groups = Map.groupBy(all, ({ file, cost }) => `${file.split("-")[0]}, ${cost}`);
  // Files that a start does not read, as a group: one is enough.
  const unread = [...groups.keys()].filter((group) => group.endsWith("nothing"));
  for (const group of unread.toSpliced(between(0, unread.length - 1), 1)) groups.delete(group);
  return [...groups.values()].map((group) => group[between(0, group.length - 1)]);
}

/** The data and the warnings match the cost that the damage may have. */
async function checkCost(program: Program, { file, cost }: Place, { parts }: Folder, what: string): Promise<void> {
  const history = await listed(program);
  const live = await waiting(program);
  const known = [];
  for (const id of [...KNOWN, ...WAITING]) if (await isKnown(program, id)) known.push(id);
  const said = warnings(program);
  const kept = cost === "everything" ? [] : KNOWN.filter((id) => cost !== "last commit" || id !== "e");
  assert.deepEqual(known, [...kept, ...cost === "everything" ? [] : WAITING], what);
  assert.deepEqual(live, cost === "everything" ? [] : WAITING, what);
  assert.deepEqual(history, kept.filter((id) => cost !== "part" || parts.get(file) !== id), what);
  const words = { nothing: [], base: [RECOVERED], "last commit": [DROPPED], part: [UNREADABLE], everything: [ASIDE] };
  assert.equal(said.length, words[cost].length, `${what}: ${said.join("\n")}`);
  for (const [index, word] of words[cost].entries()) assert.match(said[index], word, what);
  if (cost === "part") assert.equal(UNREADABLE.exec(said[0])![1], file, "the message names it");
  const aside = (await readdir(program.data)).filter((name) => name.startsWith("set-aside-"));
  assert.equal(aside.length, ["base", "everything"].includes(cost) ? 1 : 0, what);
}

Deno.test("a flipped bit in any file: the last commit, the part, or everything is lost, with a warning; never half of it, and only once", async () => {
  const folder = await prepared();
  for (const place of choose(await places(folder.data))) {
    const bit = between(0, 7);
    const what = `bit ${bit} of ${place.what} (byte ${place.at}) in ${place.file}, which costs ${place.cost}`;
    const flip = async (data: string) => {
      const path = join(data, place.file);
      const bytes = await readFile(path);
      bytes[place.at] ^= 1 << bit;
      await writeFile(path, bytes);
    };
    await withCopy(folder, flip, (launch) => checkTwice(launch, place, folder, what));
  }
});

Deno.test("a file truncated at any byte: the same", async () => {
  const folder = await prepared();
  const files = (await places(folder.data)).filter(({ file, what }) => !file.startsWith("log-") && what === "end");
  for (const place of choose(files)) {
    const bytes = await readFile(join(folder.data, place.file));
    const length = between(0, bytes.length - 1);
    const cut = (data: string) => writeFile(join(data, place.file), bytes.subarray(0, length));
    const what = `${place.file} cut at ${length} of ${bytes.length}, which costs ${place.cost}`;
    await withCopy(folder, cut, (launch) => checkTwice(launch, place, folder, what));
  }
});

/** Damage costs nothing more later: newer events are there after the next start. */
async function checkTwice(launch: () => Program, place: Place, folder: Folder, what: string): Promise<void> {
  {
    await using program = launch();
    await checkCost(program, place, folder, what);
    await send(program, "after");
    await program.kill();
  }
  await using program = launch();
  // Those that were set aside were delivered again meanwhile.
  for (const id of [...KNOWN, ...WAITING, "after"]) assert.ok(await isKnown(program, id), `${id}, ${what}`);
  // A damaged part stays, and each start that reads it names it; nothing else is reported again.
  const said = warnings(program).filter((warning) => UNREADABLE.exec(warning)?.[1] !== place.file);
  assert.deepEqual(said, [], what);
}

Deno.test("parts removed between two starts: each is named, identities and live state are there", async () => {
  const folder = await prepared();
  const remove = async (data: string) => {
    for (const { name } of (await filesOf(data)).parts) await realDisk.remove(join(data, name));
  };
  await withCopy(folder, remove, async (launch) => {
    await using program = launch();
    await program.url();
    const named = warnings(program).map((warning) => GONE.exec(warning)?.[1]);
    assert.deepEqual(named.sort(), [...folder.parts.keys()].sort());
    assert.deepEqual(await listed(program), ["e"]);
    assert.deepEqual(await waiting(program), WAITING);
    for (const id of [...KNOWN, ...WAITING]) assert.ok(await isKnown(program, id), id);
    assert.equal(warnings(program).length, folder.parts.size, "each is named once");
    await send(program, "after");
    await program.kill();
    await using again = launch();
    assert.deepEqual(await listed(again), ["after", "e"]);
    assert.deepEqual(warnings(again), []);
  });
});

Deno.test("an unreadable base: the previous one is used, with its deltas and log", async (t) => {
  const folder = await prepared();
  await withCopy(folder, () => Promise.resolve(), async (launch, data) => {
    const newest = join(data, (await filesOf(data)).bases.at(-1)!.name);
    const calls = "read,pread64,readv,preadv";
    const under = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", newest, "-e", `trace=${calls}`];
    under.push("-e", `inject=${calls}:error=EIO`);
    if (spawnSync(under[0], [...under.slice(1), "true"]).status !== 0) {
      return void await t.step({ name: "strace is not available here", ignore: true, fn() {} });
    }
    {
      await using program = start(folder.rules, { data, under });
      for (const id of KNOWN) assert.ok(await isKnown(program, id), id);
      assert.deepEqual(await waiting(program), WAITING);
      assert.match(warnings(program).join(), /had to be recovered from base-\d+: base-\d+ cannot be read/);
      await send(program, "after");
    }
    await using program = launch();
    for (const id of [...KNOWN, "after"]) assert.ok(await isKnown(program, id), id);
    assert.deepEqual(await waiting(program), WAITING);
  });
});

/** Gives the first block of a file another format version. */
function withVersion(bytes: Buffer, version: number): Buffer {
  bytes.writeUInt16LE(version, 6);
  const keys = bytes.subarray(32, 32 + bytes.readUInt32LE(8) + bytes.readUInt32LE(12));
  bytes.writeUInt32LE(crc32(keys, crc32(bytes.subarray(0, 28))), 28);
  return bytes;
}

Deno.test("a store of a newer version is refused with a remedy, and left unchanged", async () => {
  const folder = await prepared();
  const { bases, deltas, ids, segments } = await filesOf(folder.data);
  const newer = {
    async segment(data: string) {
      const { name, first } = segments.at(-1)!;
      const next = first + framesOf(await readFile(join(data, name))).length - 1;
      await writeFile(join(data, `log-${String(next).padStart(12, "0")}`), encodeHead(next, 99));
    },
    async base(data: string) {
      const path = join(data, bases.at(-1)!.name);
      await writeFile(path, withVersion(await readFile(path), 99));
    },
    async delta(data: string) {
      const path = join(data, deltas.at(-1)!.name);
      await writeFile(path, withVersion(await readFile(path), 99));
    },
    async ids(data: string) {
      const newest = ids.at(-1)!;
      const path = join(data, newest.name);
      const database = new DatabaseSync(path);
      database.exec("UPDATE about SET value = '99' WHERE name = 'format'");
      database.close();
      await realDisk.rename(path, join(data, idsName(newest, crc32(await readFile(path)))));
    },
  };
  for (const [kind, damage] of Object.entries(newer)) {
    await withCopy(folder, damage, async (launch, data) => {
      const before = await storeFiles(data);
      await using program = launch();
      assert.equal(await program.end(), 64, kind);
      assert.match(
        program.output,
        /^Cannot open the store: .*use the newer program, or another --data folder\n$/,
        kind,
      );
      assert.deepEqual(await storeFiles(data), before, kind);
    });
  }
});

Deno.test("a store from before the format had a version is refused with a remedy, and left unchanged", async () => {
  await using folder = await rulesFolder(RULES);
  await mkdir(folder.data, { mode: 0o700 });
  const old = ["checkpoint-000000000007-0badcafe.sqlite", "journal-000000000008"];
  for (const file of old) {
    await writeFile(join(folder.data, file), "as it was");
    for (const command of ["run", "once"]) {
      const refused = await whenthen([command, folder.rules, "--data", folder.data]);
      assert.equal(refused.code, 64, refused.stderr);
      assert.match(refused.stderr, /^Cannot open the store in ".*": \S+ is from an earlier version of whenthen, .*\n$/);
      assert.match(refused.stderr, /move the folder away, or start with another --data folder\n$/);
    }
    assert.equal(await readFile(join(folder.data, file), "utf8"), "as it was");
  }
  const left = (await readdir(folder.data)).filter((name) => /^(log|set-aside|base)-/.test(name));
  assert.deepEqual(left, []);
});

Deno.test("two programs on one data folder: the second is refused, the first continues", async () => {
  await using folder = await rulesFolder(RULES);
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
