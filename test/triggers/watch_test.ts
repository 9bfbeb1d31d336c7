import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdir, mkdtemp, readFile, realpath, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { watch } from "../../runtime/triggers/watch.ts";
import { readPattern } from "../../runtime/triggers/watch_files.ts";
import { watchPlace } from "../../runtime/triggers/watch_place.ts";
import { TIMEOUT } from "../e2e/until.ts";
import { FakeStore, parseArgs, Program, START } from "./fake_context.ts";

/** Long before START: files written then have settled. */
const EARLIER = new Date(START - 60_000);

class Folder {
  constructor(readonly path: string) {}

  static async make(): Promise<Folder> {
    return new Folder(await realpath(await mkdtemp(join(tmpdir(), "watch-"))));
  }

  /** Atomic for a watcher, and independent of the machine's clock. */
  async write(name: string, text: string | Uint8Array, modified = EARLIER): Promise<void> {
    const draft = `${this.path}.draft`;
    await writeFile(draft, text);
    await utimes(draft, modified, modified);
    await mkdir(join(this.path, name, ".."), { recursive: true });
    await rename(draft, join(this.path, name));
  }

  program(args: JsonObject): Program {
    const program = new Program(watch, args);
    program.ruleFolder = this.path;
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

const seen = (program: Program) => program.events.map(({ type, subject }) => `${type} ${subject}`);

/** Waits for another pass of the watch. */
async function looked(program: Program): Promise<void> {
  const before = program.reports.length;
  await program.until(() => program.reports.length > before);
}

/** Runs the clock and processes file system events until the condition holds. */
async function eventually(program: Program, condition: () => boolean): Promise<void> {
  while (!condition()) {
    await program.clock.advanceTo(program.clock.now() + 500);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("watch emits the first files, then changes made while the program was down", async () => {
  await using folder = await Folder.make();
  await folder.write("inbox/a.csv", "1");
  await folder.write("inbox/b.csv", "2");
  await folder.write("inbox/notes.txt", "no");
  await folder.write("inbox/deeper/c.csv", "no");
  await folder.write("inbox/.hidden.csv", "no");
  const args = { watch: "./inbox/*.csv", on: ["added", "changed", "removed"], settle: "0s" };
  const program = folder.program(args);
  await program.pass();
  assert.deepEqual(seen(program), ["added inbox/a.csv", "added inbox/b.csv"]);
  assert.deepEqual(program.events[0].data, {
    path: join(folder.path, "inbox/a.csv"),
    name: "a.csv",
    old: null,
    new: { size: 1, modified: EARLIER.toISOString() },
  });
  await folder.write("inbox/a.csv", "changed");
  await folder.write("inbox/c.csv", "3");
  await rm(join(folder.path, "inbox/b.csv"));
  const later = program.restarted();
  await later.pass();
  assert.deepEqual(seen(later), ["changed inbox/a.csv", "added inbox/c.csv", "removed inbox/b.csv"]);
  assert.deepEqual((later.events[2].data as JsonObject).new, null);
  await later.pass();
  assert.equal(later.events.length, 3);
});

Deno.test("a file that was only touched did not change", async () => {
  await using folder = await Folder.make();
  await folder.write("a.csv", "1");
  const program = folder.program({ watch: "./*.csv" });
  await program.pass();
  await folder.write("a.csv", "1", new Date(START - 30_000));
  await program.restarted().pass();
  await folder.write("a.csv", "2", new Date(START - 20_000));
  const later = program.restarted();
  await later.pass();
  assert.deepEqual(seen(later), ["changed a.csv"]);
});

Deno.test("a change that keeps size and modification time is seen, in another file of that name or in the same one", async () => {
  await using folder = await Folder.make();
  await folder.write("a.csv", "1");
  const program = folder.program({ watch: "./*.csv" });
  await program.pass();
  await folder.write("a.csv", "2");
  const later = program.restarted();
  await later.pass();
  assert.deepEqual(seen(later), ["changed a.csv"]);

  const path = join(folder.path, "a.csv");
  const before = Math.floor((await stat(path)).ctimeMs);
  do {
    await writeFile(path, "3");
    await utimes(path, EARLIER, EARLIER);
  } while (Math.floor((await stat(path)).ctimeMs) === before);
  const last = program.restarted();
  await last.pass();
  assert.deepEqual(seen(last), ["changed a.csv"]);
});

Deno.test("an initial file that is only touched did not change", async () => {
  await using folder = await Folder.make();
  await folder.write("a.csv", "1");
  const program = folder.program({ watch: "./*.csv", first: "seed" });
  await program.pass();
  await folder.write("a.csv", "1", new Date(START - 30_000));
  const later = program.restarted();
  await later.pass();
  assert.deepEqual(seen(later), []);
});

Deno.test("first: seed emits nothing for existing files, and another pattern starts anew", async () => {
  await using folder = await Folder.make();
  await folder.write("a.csv", "1");
  await folder.write("b.json", "1");
  const program = folder.program({ watch: "*.csv", first: "seed" });
  await program.pass();
  assert.deepEqual(seen(program), []);
  const other = program.restarted({ watch: "*.json" });
  await other.pass();
  assert.deepEqual(seen(other), []);
  assert.deepEqual([...program.store.baseline.keys()], ["b.json"]);
});

Deno.test("format parses the content; a parse error is in the event", async () => {
  await using folder = await Folder.make();
  await folder.write("good.csv", "id,n\n7,x\n");
  await folder.write("bad.csv", 'id,n\n"7\n');
  const program = folder.program({ watch: "*.csv", format: "csv" });
  await program.pass();
  const [bad, good] = program.events.map(({ data }) => data as JsonObject);
  assert.deepEqual(good.content, [{ id: "7", n: "x" }]);
  assert.equal(bad.content, null);
  assert.match(bad.error as string, /expected CSV/);
});

Deno.test("missing columns required by format are an error in the event", async () => {
  await using folder = await Folder.make();
  await folder.write("good.csv", "n,id\nx,7\n");
  await folder.write("lacking.csv", "id,m\n7,x\n");
  const program = folder.program({ watch: "*.csv", format: { csv: { columns: ["id", "n"] } } });
  await program.pass();
  assert.deepEqual(program.events.map(({ data }) => (data as JsonObject).content), [[{ id: "7", n: "x" }], null]);
  const { error } = program.events[1].data as JsonObject;
  assert.equal(error, 'expected csv with the columns "id", "n", got "id", "m": "n" is missing');
});

Deno.test("content is decoded by its charset; a decoding error is in the event", async () => {
  await using folder = await Folder.make();
  await folder.write("a.txt", Buffer.from([0xbf]));
  await folder.write("b.txt", Buffer.from("fffe7a01", "hex"));
  const contents = async (args: JsonObject) => {
    const program = folder.program({ watch: "*.txt", format: "text", ...args });
    await program.pass();
    return program.events.map(({ data }) => (data as JsonObject)).map(({ content, error = "" }) => [content, error]);
  };
  const error = 'it is not text in utf-8; "charset" can say in which charset it is';
  assert.deepEqual(await contents({}), [[null, error], ["ź", ""]]);
  assert.deepEqual((await contents({ charset: "iso-8859-2" }))[0], ["ż", ""]);
  assert.deepEqual(await contents({ format: "base64" }), [["vw==", ""], ["//56AQ==", ""]]);
  const check = (args: JsonObject) => watch.check!(parseArgs(watch, { watch: "*.txt", ...args }), START);
  assert.deepEqual(check({ charset: "iso-8859-2" }), ['"charset" has no use without "format"']);
  assert.deepEqual(check({ charset: "iso-8859-2", format: "text" }), []);
});

Deno.test("a running watch reports a dropped file once it has settled, and each further change", async () => {
  await using folder = await Folder.make();
  await mkdir(join(folder.path, "inbox"));
  const program = folder.program({ watch: "./inbox/**/*.csv", on: ["added", "changed", "removed"] });
  await program.attach();
  await program.until(() => program.reports.length >= 2);
  // Written right now by our clock: it may not be complete yet.
  const now = new Date(START);
  await Promise.all([looked(program), folder.write("inbox/deep/a.csv", "1", now)]);
  assert.deepEqual(seen(program), []);
  await program.clock.advanceTo(START + 1_999);
  assert.deepEqual(seen(program), []);
  await eventually(program, () => program.events.length === 1);
  assert.deepEqual(seen(program), ["added inbox/deep/a.csv"]);

  await rename(join(folder.path, "inbox/deep/a.csv"), join(folder.path, "inbox/b.csv"));
  await eventually(program, () => program.events.length === 3);
  assert.deepEqual(seen(program).slice(1), ["added inbox/b.csv", "removed inbox/deep/a.csv"]);
  await program.detach();
});

Deno.test("a file that is still being written is not reported until it settles", async () => {
  await using folder = await Folder.make();
  const program = folder.program({ watch: "*.log", settle: "10s" });
  await program.attach();
  await program.until(() => program.reports.length >= 2);
  for (let second = 0; second <= 30; second += 5) {
    const text = "x".repeat(second + 1);
    await Promise.all([looked(program), folder.write("a.log", text, new Date(START + second * 1_000))]);
    await program.clock.advanceTo(START + (second + 4) * 1_000);
  }
  assert.deepEqual(seen(program), []);
  await eventually(program, () => program.events.length === 1);
  assert.deepEqual(((program.events[0].data as JsonObject).new as JsonObject).size, 31);
  await program.detach();
});

Deno.test("a watched folder may not exist yet, and a slow pass finds changes that were not notified", async () => {
  await using folder = await Folder.make();
  const program = folder.program({ watch: "./later/*.csv", settle: "0s" });
  await program.attach();
  await program.until(() => program.reports.length >= 2);
  await folder.write("later/a.csv", "1");
  await eventually(program, () => program.events.length === 1);
  assert.deepEqual(seen(program), ["added later/a.csv"]);
  await program.detach();
});

/** Runs the clock for a few seconds only: the slow pass is a minute away. */
async function soon(program: Program, condition: () => boolean): Promise<void> {
  const end = program.clock.now() + 5_000;
  const deadline = performance.now() + TIMEOUT;
  while (!condition()) {
    if (program.clock.now() < end) await program.clock.advanceTo(program.clock.now() + 500);
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok(performance.now() < deadline, `seen were only ${seen(program).join(", ")}`);
  }
}

/** What happens to the folder of `./in/*.csv`, which has a.csv, and what is told of it. */
const REPLACEMENTS: [what: string, replace: (folder: Folder) => Promise<void>, expected: string[]][] = [
  ["removed and made anew", async (folder) => {
    await rm(join(folder.path, "in"), { recursive: true });
    await mkdir(join(folder.path, "in"));
    await folder.write("in/b.csv", "id");
  }, ["added in/b.csv", "removed in/a.csv"]],
  ["replaced by another", async (folder) => {
    await folder.write("new/a.csv", "changed");
    await rename(join(folder.path, "in"), join(folder.path, "old"));
    await rename(join(folder.path, "new"), join(folder.path, "in"));
  }, ["changed in/a.csv"]],
  ["moved away", (folder) => rename(join(folder.path, "in"), join(folder.path, "old")), ["removed in/a.csv"]],
];

for (const [what, replace, expected] of REPLACEMENTS) {
  Deno.test(`a watched folder that is ${what} is seen at once, and what happens in it afterwards`, async () => {
    await using folder = await Folder.make();
    await folder.write("in/a.csv", "1");
    const args = { watch: "./in/*.csv", on: ["added", "changed", "removed"], first: "seed", settle: "0s" };
    const program = folder.program(args);
    await program.attach();
    await program.until(() => program.reports.length >= 2);
    await replace(folder);
    await soon(program, () => program.events.length === expected.length);
    assert.deepEqual(seen(program).sort(), expected);
    await folder.write("in/later.csv", "1");
    await soon(program, () => program.events.length > expected.length);
    assert.equal(seen(program).at(-1), "added in/later.csv");
    await program.detach();
  });
}

Deno.test("two rules that watch one folder both see it replaced, and what happens in it afterwards", async () => {
  await using folder = await Folder.make();
  await folder.write("in/a.csv", "1");
  const args = { watch: "./in/*.csv", first: "seed", settle: "0s" };
  const one = folder.program(args);
  const other = new Program(watch, args, new FakeStore(), one.clock);
  other.ruleFolder = folder.path;
  const both = [one, other];
  await Promise.all(both.map((program) => program.attach()));
  await Promise.all(both.map((program) => program.until(() => program.reports.length >= 2)));
  await rm(join(folder.path, "in"), { recursive: true });
  await folder.write("in/b.csv", "1");
  await soon(one, () => both.every(({ events }) => events.length === 1));
  await folder.write("in/later.csv", "1");
  await soon(one, () => both.every(({ events }) => events.length === 2));
  for (const program of both) assert.deepEqual(seen(program), ["added in/b.csv", "added in/later.csv"]);
  await Promise.all(both.map((program) => program.detach()));
});

Deno.test("a watched folder that is made later is seen at once, also with the folders above it", async () => {
  await using folder = await Folder.make();
  const program = folder.program({ watch: "./data/new/in/*.csv", settle: "0s" });
  await program.attach();
  await program.until(() => program.reports.length >= 2);
  await folder.write("data/new/in/a.csv", "1");
  await soon(program, () => program.events.length === 1);
  assert.deepEqual(seen(program), ["added data/new/in/a.csv"]);
  await program.detach();
});

Deno.test("a link that is set to another folder is seen at once", async () => {
  await using folder = await Folder.make();
  await folder.write("v1/a.csv", "1");
  await folder.write("v2/a.csv", "2");
  await folder.write("v2/b.csv", "2");
  const link = async (version: string) => {
    await symlink(version, join(folder.path, "link"));
    await rename(join(folder.path, "link"), join(folder.path, "current"));
  };
  await link("v1");
  const program = folder.program({ watch: "./current/*.csv", first: "seed", settle: "0s" });
  await program.attach();
  await program.until(() => program.reports.length >= 2);
  await link("v2");
  await soon(program, () => program.events.length === 2);
  assert.deepEqual(seen(program), ["changed current/a.csv", "added current/b.csv"]);
  await folder.write("v2/c.csv", "2");
  await soon(program, () => program.events.length === 3);
  assert.deepEqual(seen(program).at(-1), "added current/c.csv");
  await program.detach();
});

Deno.test("one file, a folder, and paths above the rule file can be watched", () => {
  const matches = (pattern: string, path: string) => readPattern(pattern, "/rules/ops [1]").matches(path);
  assert.ok(matches("./notes.md", "/rules/ops [1]/notes.md"));
  assert.ok(!matches("./notes.md", "/rules/ops [1]/notes.md.bak"));
  assert.ok(matches("./inbox", "/rules/ops [1]/inbox/deep/a.csv"));
  assert.ok(matches("../in/*.csv", "/rules/in/a.csv"));
  assert.ok(!matches("../in/*.csv", "/rules/in/x/a.csv"));
  assert.ok(matches("/data/**/*.{csv,json}", "/data/x/y/a.json"));
  assert.ok(matches("./*.csv", "/rules/ops [1]/a.csv"));
});

Deno.test("many dropped files take several transitions, each with its baseline", async () => {
  await using folder = await Folder.make();
  for (let index = 0; index < 1_100; index++) await folder.write(`${index}.txt`, "x");
  const program = folder.program({ watch: "*.txt" });
  await program.pass();
  assert.equal(new Set(program.ids).size, 1_100);
  assert.deepEqual(program.transitions.map(({ events }) => events), [0, 500, 500, 100]);
  const stored = program.store.baseline.get("7.txt") as { [name: string]: Json };
  assert.equal(stored.size, (await readFile(join(folder.path, "7.txt"))).length);
});

Deno.test("what is known of 1,200 files is read and stored in pieces, and a change in any of them is seen", async () => {
  await using folder = await Folder.make();
  const name = (index: number) => `inbox/${String(index).padStart(4, "0")}.csv`;
  for (let index = 0; index < 1_200; index++) await folder.write(name(index), "1");
  const args = { watch: "./inbox/*.csv", on: ["added", "changed", "removed"], settle: "0s", first: "seed" };
  const program = folder.program(args);
  const { store } = program;
  const asked: number[] = [];
  const { getItems } = store;
  store.getItems = (trigger, keys) => {
    asked.push(keys.length);
    return getItems.call(store, trigger, keys);
  };
  await program.pass();
  assert.deepEqual([program.events.length, store.baseline.size], [0, 1_200]);
  await Promise.all([3, 1_199].map((index) => rm(join(folder.path, name(index)))));
  await folder.write(name(600), "changed");
  await folder.write(name(1_200), "new");
  const later = program.restarted();
  await later.pass();
  const told = [`added ${name(1_200)}`, `changed ${name(600)}`, `removed ${name(3)}`, `removed ${name(1_199)}`];
  assert.deepEqual(seen(later).sort(), told);
  assert.equal(store.baseline.size, 1_199);
  assert.ok(Math.max(...asked) <= 500 && Math.max(...program.transitions.map(({ put }) => put)) <= 500);
});

Deno.test("a place is looked at once in a period when its watcher is replaced, also by one that fails to close", async () => {
  await using folder = await Folder.make();
  const looks = new Set<() => void>();
  const clock = {
    after(_ms: number, look: () => void) {
      looks.add(look);
      return () => void looks.delete(look);
    },
  };
  const opened = Promise.withResolvers<void>();
  const close = watchPlace(folder.path, clock, { open() {}, close: () => Promise.reject(new Error("no")) });
  const closed = close();
  const closeNext = watchPlace(folder.path, clock, { open: opened.resolve, close: () => Promise.resolve() });
  await assert.rejects(closed, /no/);
  await opened.promise;
  // Far longer than the looks take that have begun.
  for (let turns = 0; turns < 200; turns++) await stat(folder.path);
  assert.equal(looks.size, 1);
  await closeNext();
  assert.equal(looks.size, 0);
});
