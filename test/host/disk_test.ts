import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realDisk } from "../../runtime/host/disk.ts";
import { chooseDisk } from "../faults/chosen_disk.ts";

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
