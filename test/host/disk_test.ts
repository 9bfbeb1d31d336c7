import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { realDisk } from "../../runtime/host/disk.ts";
import {
  assertRegular,
  IrregularFileError,
  LARGEST_FILE,
  readRegularFile,
  readRegularFileSync,
} from "../../runtime/host/regular_file.ts";
import { isFileName, type NewFile, RunFiles } from "../../runtime/host/run_files.ts";
import { TerminalError } from "../../runtime/model/errors.ts";
import { newId } from "../../runtime/model/id.ts";
import { chooseDisk } from "../faults/chosen_disk.ts";
import { realMedium, SimulatedDisk } from "../faults/simulated_disk.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-disk-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("the real disk appends, syncs, renames, truncates, lists and removes", () =>
  inFolder(async (folder) => {
    await realDisk.mkdir(join(folder, "a/b"));
    const path = join(folder, "a/b/file");
    const file = await realDisk.create(path);
    const large = new Uint8Array(600_000).map((_, at) => at);
    await file.write(large);
    await file.write(new TextEncoder().encode("end"));
    await file.sync();
    await file.close();
    assert.deepEqual(new Uint8Array(await readFile(path)), new Uint8Array([...large, 101, 110, 100]));
    await realDisk.truncate(path, 3);
    await realDisk.rename(path, join(folder, "a/b/other"));
    await realDisk.syncFolder(join(folder, "a/b"));
    assert.deepEqual(await realDisk.list(join(folder, "a/b")), ["other"]);
    assert.deepEqual([...await realDisk.read(join(folder, "a/b/other"))], [0, 1, 2]);
    await realDisk.remove(join(folder, "a/b/other"));
    assert.deepEqual(await realDisk.list(join(folder, "a/b")), []);
  }));

Deno.test("an open file can be read in pieces, even after its removal", () =>
  inFolder(async (folder) => {
    const path = join(folder, "file");
    await writeFile(path, "0123456789");
    const file = await realDisk.open(path);
    await realDisk.remove(path);
    const text = async (at: number, length: number) => new TextDecoder().decode(await file.read(at, length));
    assert.equal(file.size, 10);
    assert.deepEqual([await text(0, 4), await text(8, 4), await text(10, 4)], ["0123", "89", ""]);
    await file.close();
    await assert.rejects(realDisk.open(path), { code: "ENOENT" });
  }));

Deno.test("an existing file is not created again", () =>
  inFolder(async (folder) => {
    await (await realDisk.create(join(folder, "x"))).close();
    await assert.rejects(realDisk.create(join(folder, "x")), { code: "EEXIST" });
  }));

Deno.test("WHENTHEN_TEST_DISK=hold:<ms> holds each sync", () =>
  inFolder(async (folder) => {
    const disk = chooseDisk(realDisk, "hold:60");
    const file = await disk.create(join(folder, "x"));
    for (let sync = 0; sync < 2; sync++) {
      const before = performance.now();
      await file.sync();
      assert.ok(performance.now() - before >= 55);
    }
    await file.close();
  }));

Deno.test("another value of WHENTHEN_TEST_DISK is refused, none leaves the disk unchanged", () => {
  assert.equal(chooseDisk(realDisk, ""), realDisk);
  assert.throws(() => chooseDisk(realDisk, "slow"), /"slow": expected "hold:<ms>" or "forget:<seed>"/);
});

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-file-"));
  await work(folder).finally(() => rm(folder, { recursive: true }));
}

Deno.test("readRegularFile() reads a file, an empty one, one behind a link, and one of the maximum size", async () => {
  await withFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    await writeFile(path("a"), "grün");
    await writeFile(path("empty"), "");
    await symlink("a", path("link"));
    await writeFile(path("large"), "");
    await truncate(path("large"), LARGEST_FILE);
    for (const [name, length] of [["a", 5], ["empty", 0], ["link", 5], ["large", LARGEST_FILE]] as const) {
      assert.equal((await readRegularFile(path(name))).length, length, name);
      assert.equal(readRegularFileSync(path(name)).length, length, name);
      assertRegular(path(name));
    }
    assert.equal((await readRegularFile(path("a"))).toString(), "grün");
  });
});

Deno.test("readRegularFile() refuses at once a file that is irregular or too large, and says what it is", async () => {
  await withFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    execFileSync("mkfifo", [path("pipe")]);
    await symlink("/dev/zero", path("zero"));
    await mkdir(path("folder"));
    await writeFile(path("large"), "");
    await truncate(path("large"), LARGEST_FILE + 1);
    const refused = {
      pipe: "expected a regular file, got a named pipe",
      zero: "expected a regular file, got a device",
      folder: "expected a regular file, got a folder",
      large: "a file may have 5000000 bytes, not 5000001",
    };
    for (const [name, message] of Object.entries(refused)) {
      const isRefusal = (error: unknown) => error instanceof IrregularFileError && error.message === message;
      await assert.rejects(readRegularFile(path(name)), isRefusal, name);
      assert.throws(() => readRegularFileSync(path(name)), isRefusal, name);
      assert.throws(() => assertRegular(path(name)), isRefusal, name);
    }
    await assert.rejects(readRegularFile(path("nowhere")), { code: "ENOENT" });
  });
});

const bytesOf = (text: string) => new TextEncoder().encode(text);
const wanted = (more: Partial<NewFile> = {}): NewFile => ({
  run: "r1",
  step: "get",
  name: "a.csv",
  what: "the output",
  ...more,
});

async function inRunsFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "run-files-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The files below a folder, relative to it. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

Deno.test("a saved file is complete, in its run's folder, and readable by its owner only", async () => {
  await inRunsFolder(async (folder) => {
    const files = new RunFiles(join(folder, "files"), realDisk);
    const draft = await files.create(wanted());
    const content = new Uint8Array(3_000_000).map((_, index) => index % 251);
    for (let at = 0; at < content.length; at += 70_000) await draft.write(content.subarray(at, at + 70_000));
    const saved = await draft.keep("text/csv");
    const { path, ...rest } = saved;
    assert.deepEqual(rest, {
      name: "a.csv",
      type: "text/csv",
      bytes: 3_000_000,
      sha256: createHash("sha256").update(content).digest("hex"),
    });
    assert.ok(path.startsWith(join(folder, "files", "r1") + "/"), path);
    assert.ok((await readFile(path)).equals(content));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    for (let at = dirname(path); at !== folder; at = dirname(at)) {
      assert.equal((await stat(at)).mode & 0o777, 0o700, at);
    }
    assert.deepEqual(await filesIn(folder), [relative(folder, path)]);
  });
});

Deno.test("steps that save under one name have a file each; another attempt replaces its step's file", async () => {
  await inRunsFolder(async (folder) => {
    const files = new RunFiles(folder, realDisk);
    const save = async (step: string, text: string) => {
      const draft = await files.create(wanted({ step }));
      await draft.write(bytesOf(text));
      return (await draft.keep("text/plain")).path;
    };
    const [one, two] = [await save("lines[0]/get", "one"), await save("lines[1]/get", "two")];
    assert.deepEqual([await readFile(one, "utf8"), await readFile(two, "utf8")], ["one", "two"]);
    assert.equal(await save("lines[0]/get", "again"), one);
    assert.equal(await readFile(one, "utf8"), "again");
  });
});

Deno.test("a draft that is discarded leaves nothing, and one that is too large says so", async () => {
  await inRunsFolder(async (folder) => {
    const files = new RunFiles(folder, realDisk, 10);
    const draft = await files.create(wanted());
    await draft.write(bytesOf("0123456789"));
    await assert.rejects(
      draft.write(bytesOf("x")),
      new TerminalError('Cannot save the output as "a.csv": it has over 10 bytes, the most that a saved file may have'),
    );
    await draft.discard();
    assert.deepEqual(await filesIn(folder), []);
  });
});

Deno.test("a crash at any moment leaves no partial file, and the next attempt saves it", async () => {
  for (const [survives, kept] of [[0, false], [0.5, false], [1, false], [0, true]] as const) {
    await inRunsFolder(async (folder) => {
      const disk = new SimulatedDisk(realMedium);
      const first = await new RunFiles(folder, disk).create(wanted());
      await first.write(new Uint8Array(1_500_000).fill(1));
      await first.write(bytesOf("end"));
      if (kept) await first.keep("text/plain");
      disk.cut(() => survives);
      const named = (await filesIn(folder)).filter((path) => path.endsWith("a.csv"));
      assert.equal(named.length, kept ? 1 : 0);
      for (const path of named) assert.equal((await stat(join(folder, path))).size, 1_500_003);
      const second = await new RunFiles(folder, disk).create(wanted());
      await second.write(bytesOf("second"));
      const { path } = await second.keep("text/plain");
      disk.cut();
      assert.equal(await readFile(path, "utf8"), "second");
      assert.deepEqual(await filesIn(folder), [relative(folder, path)]);
    });
  }
});

Deno.test("a name is a plain file name, never a path out of the folder", async () => {
  for (const name of ["a.csv", "żółć", ".env", "a b", "..a", "x".repeat(255)]) assert.ok(isFileName(name), name);
  const wrong = ["", ".", "..", "a/b", "/etc/passwd", "../a", "a\\b", "a\0", "a\nb", "x".repeat(256), "\ud800"];
  for (const name of wrong) {
    assert.ok(!isFileName(name), name);
    await assert.rejects(
      new RunFiles("/never", realDisk).create(wanted({ name })),
      (error) => error instanceof TerminalError && /expected a plain file name such as report.csv/.test(error.message),
    );
  }
});

Deno.test("a sweep removes the folders of unknown runs, a hundred at a time, and nothing else", async () => {
  await inRunsFolder(async (folder) => {
    const runs = Array.from({ length: 150 }, (_, index) => newId(index));
    for (const run of runs) await mkdir(join(folder, run, "step"), { recursive: true });
    await mkdir(join(folder, "lost+found"));
    const known = new Set(runs.filter((_, index) => index % 3 === 0));
    const files = new RunFiles(folder, realDisk);
    const asked: string[] = [];
    const sweep = () => files.sweep((run) => (asked.push(run), Promise.resolve(known.has(run))));
    await sweep();
    assert.equal(asked.length, 100);
    await sweep();
    assert.deepEqual(asked.sort(), runs);
    assert.deepEqual((await readdir(folder)).sort(), [...known, "lost+found"].sort());
    known.clear();
    await sweep();
    assert.deepEqual(await readdir(folder), ["lost+found"]);
    await new RunFiles(join(folder, "none"), realDisk).sweep(() => Promise.resolve(false));
  });
});
