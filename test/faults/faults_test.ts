import fc from "fast-check";
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../runtime/host/clock.ts";
import type { Disk, DiskFile } from "../../runtime/host/disk.ts";
import { FaultyDisk } from "./faulty_disk.ts";
import { chooseClock } from "./shifted_clock.ts";
import { realMedium, SimulatedDisk } from "./simulated_disk.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (string: string) => new TextEncoder().encode(string);

async function fileWith(disk: Disk, path: string, content: string): Promise<DiskFile> {
  const file = await disk.create(path);
  await file.write(bytes(content));
  return file;
}

/** The content of a disk after a power cut. */
async function left(disk: SimulatedDisk, folder: string): Promise<Record<string, string>> {
  disk.cut();
  const names = (await disk.list(folder)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, text(await disk.read(join(folder, name)))])),
  );
}

Deno.test("unsynced bytes are visible until a power cut, synced ones stay", async () => {
  const disk = new FaultyDisk();
  const file = await fileWith(disk, "/d/a", "one");
  await file.sync();
  await disk.syncFolder("/d");
  await file.write(bytes("two"));
  assert.equal(text(await disk.read("/d/a")), "onetwo");
  assert.deepEqual(await left(disk, "/d"), { a: "one" });
  await assert.rejects(file.write(bytes("x")), { code: "EIO" });
});

Deno.test("a synced file in an unsynced folder is lost; a name synced before its bytes is empty", async () => {
  const disk = new FaultyDisk();
  await (await fileWith(disk, "/d/a", "one")).sync();
  await fileWith(disk, "/e/b", "two");
  await disk.syncFolder("/e");
  assert.deepEqual(await left(disk, "/d"), {});
  assert.deepEqual(await left(disk, "/e"), { b: "" });
});

Deno.test("unsynced renames and removals are undone", async () => {
  const disk = new FaultyDisk();
  for (const name of ["a", "b", "c"]) await (await fileWith(disk, `/d/${name}`, name)).sync();
  await disk.syncFolder("/d");
  await disk.rename("/d/a", "/d/c");
  await disk.remove("/d/b");
  assert.deepEqual(await disk.list("/d"), ["c"]);
  assert.equal(text(await disk.read("/d/c")), "a");
  assert.deepEqual(await left(disk, "/d"), { a: "a", b: "b", c: "c" });
  await disk.rename("/d/a", "/d/c");
  await disk.remove("/d/b");
  await disk.syncFolder("/d");
  assert.deepEqual(await left(disk, "/d"), { c: "a" });
});

Deno.test("bytes written back early are a prefix of the dirty ones, followed at most by zeros", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ minLength: 1 }), { minLength: 1 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      async (writes, shares) => {
        const disk = new FaultyDisk();
        const share = () => shares.next().value!;
        const file = await disk.create("/d/a");
        await disk.syncFolder("/d");
        let synced = 0;
        for (const [at, write] of writes.entries()) {
          await file.write(bytes(write));
          disk.writeBack(share);
          assert.equal(text(await disk.read("/d/a")), text(bytes(writes.slice(0, at + 1).join(""))));
          if (share() < 0.3) {
            await file.sync();
            synced = bytes(writes.slice(0, at + 1).join("")).length;
          }
        }
        const whole = bytes(writes.join(""));
        disk.cut(share);
        const kept = await disk.read("/d/a");
        assert.ok(kept.length >= synced && kept.length <= whole.length);
        const same = kept.findIndex((byte, index) => byte !== whole[index]);
        const end = same < 0 ? kept.length : same;
        assert.ok(end >= synced && kept.subarray(end).every((byte) => byte === 0));
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("an open file reads as it was opened, until a power cut", async () => {
  const disk = new FaultyDisk();
  const written = await fileWith(disk, "/data/a", "one");
  const file = await disk.open("/data/a");
  await written.write(bytes("two"));
  assert.equal(file.size, 3);
  assert.deepEqual(await file.read(1, 9), bytes("ne"));
  disk.cut();
  await assert.rejects(file.read(0, 1), { code: "EIO" });
});

Deno.test("on the machine's disk: only synced data is in the folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-forgetful-"));
  const disk = new SimulatedDisk(realMedium);
  const file = await fileWith(disk, join(folder, "draft"), "one");
  await file.sync();
  await disk.rename(join(folder, "draft"), join(folder, "done"));
  assert.deepEqual(await readdir(folder), []);
  await disk.syncFolder(folder);
  await file.write(bytes("two"));
  assert.deepEqual(await readdir(folder), ["done"]);
  assert.equal(await readFile(join(folder, "done"), "utf8"), "one");
  await disk.truncate(join(folder, "done"), 4);
  assert.equal(await readFile(join(folder, "done"), "utf8"), "onet");
  await disk.remove(join(folder, "done"));
  assert.deepEqual(await readdir(folder), ["done"]);
  await rm(folder, { recursive: true });
});

const DAY = 86_400_000;

Deno.test("the clock of black-box tests is shifted by the value in its file, also if that changes; without a file it is the machine's clock", async () => {
  assert.equal(chooseClock(systemClock, undefined), systemClock);
  const folder = await mkdtemp(join(tmpdir(), "whenthen-clock-"));
  const file = join(folder, "shift");
  try {
    await writeFile(file, `${DAY}\n`);
    const clock = chooseClock(systemClock, file);
    const began = Date.now();
    assert.ok(clock.now() >= began + DAY);
    const woken = new Promise<void>((resolve) => clock.at(began + 3 * DAY, resolve));
    await writeFile(`${file}.new`, String(3 * DAY));
    await rename(`${file}.new`, file);
    await woken;
    assert.ok(clock.now() >= began + 3 * DAY);
    await writeFile(file, "tomorrow");
    assert.throws(() => chooseClock(systemClock, file), /expected milliseconds/);
    await writeFile(file, "0");
  } finally {
    await rm(folder, { recursive: true });
  }
});
