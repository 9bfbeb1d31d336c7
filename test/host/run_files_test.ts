import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { realDisk } from "../../runtime/host/disk.ts";
import { realMedium, SimulatedDisk } from "../faults/simulated_disk.ts";
import { isFileName, type NewFile, RunFiles } from "../../runtime/host/run_files.ts";
import { newId } from "../../runtime/model/id.ts";
import { TerminalError } from "../../runtime/model/errors.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const wanted = (more: Partial<NewFile> = {}): NewFile => ({
  run: "r1",
  step: "get",
  name: "a.csv",
  what: "the output",
  ...more,
});

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
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
  await inFolder(async (folder) => {
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
  await inFolder(async (folder) => {
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
  await inFolder(async (folder) => {
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
    await inFolder(async (folder) => {
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
  await inFolder(async (folder) => {
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
