import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../runtime/host/clock.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { openDataFolder } from "../../runtime/app/data_folder.ts";

Deno.test("a replaced data folder is detected, and the store then refuses events", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-data-"));
  const path = join(folder, "data");
  const clock = new ManualClock(0);
  const data = await openDataFolder({ path, clock, disk: realDisk, onWarning() {} });
  await data.begin();
  await rename(path, join(folder, "old"));
  await mkdir(path);
  assert.match((await data.lost).message, /was deleted or replaced/);
  const event = { id: "1", source: "/a", type: "a", time: new Date(0).toISOString(), data: null };
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(data.store.accept([{ event, candidates: [] }], [], 0), { name: "StoreFullError" });
  }
  await data.close();
  assert.deepEqual(await readdir(path), [], "nothing is written into the new one");
  await rm(folder, { recursive: true });
});

Deno.test("secrets that a killed program has left as files are removed when the data folder is opened", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-data-"));
  const open = () => openDataFolder({ path: folder, clock: new ManualClock(0), disk: realDisk, onWarning() {} });
  const killed = await open();
  await writeFile(join(await killed.files.privateFolder(), "0"), "a secret");
  await killed.close();
  const data = await open();
  assert.deepEqual((await readdir(join(folder, "files"))).filter((name) => name === ".private"), []);
  await data.close();
  await rm(folder, { recursive: true });
});
