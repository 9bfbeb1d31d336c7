import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeAddress } from "../../runtime/host/private_file.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { checkRulesFolder, openDataFolder } from "../../runtime/app/data_folder.ts";

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

Deno.test("a data folder belongs to one rules folder: not to another, but to one that moved, or to a newer packed one", async () => {
  const data = await mkdtemp(join(tmpdir(), "whenthen-data-"));
  const [mine, others, old, newer] = ["mine", "others", `folder-${"0a".repeat(8)}`, `folder-${"1b".repeat(8)}`]
    .map((name) => join(data, name));
  for (const folder of [mine, others, old, newer]) await mkdir(folder);
  const isRefused = async (before: string, folder: string, moved = false) => {
    await writeAddress(data, { folder: before });
    return await checkRulesFolder({ folder, data, moved }).then(() => undefined, (error) => error.message);
  };
  assert.equal(
    await isRefused(others, mine),
    `Cannot use the data folder ${data} with the rules in ${mine}: it has the state of the rules in ${others}; ` +
      `name another data folder with --data, or if these rules have moved, start with: whenthen run ${mine} --data ${data} --moved`,
  );
  assert.match(
    await isRefused(others, newer),
    /with rules that are packed into the program: .+: whenthen run --data \S+ --moved$/,
  );
  assert.match(await isRefused(old, mine), /it has the state of rules that are packed into the program/);
  assert.equal(await isRefused(mine, mine), undefined);
  assert.equal(await isRefused(old, newer), undefined);
  assert.equal(await isRefused(others, mine, true), undefined);
  await rm(others, { recursive: true });
  assert.equal(await isRefused(others, mine), undefined);
  await rm(data, { recursive: true });
});
