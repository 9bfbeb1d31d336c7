import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { Uploads } from "../../runtime/host/uploads.ts";

const NOW = Date.parse("2026-11-29T20:00:00Z");
const UPLOAD = { name: "a.txt", type: "text/plain", bytes: new TextEncoder().encode("hi") };
const OWNER = { source: "/hooks/x", id: "e1" };

/** A folder, and the program that works on it; a second one is the same after a restart. */
async function withUploads(use: (open: () => Uploads, list: () => Promise<string[]>) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "uploads-"));
  try {
    await use(
      () => new Uploads(folder, new RunFiles(folder, realDisk), realDisk),
      () => readdir(join(folder, ".uploads")),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Events by key. */
function events(keys: Record<string, string>) {
  return {
    findKey: ({ source, id }: { source: string; id: string }) => Promise.resolve(keys[`${source} ${id}`]),
    isKnown: (key: string) => Promise.resolve(Object.values(keys).includes(key)),
  };
}

Deno.test("files stay as long as their event, also if its identity has expired", async () => {
  await withUploads(async (open, list) => {
    const uploads = open();
    const { files, claim } = await uploads.save([UPLOAD, UPLOAD], [OWNER], NOW);
    assert.equal(new Set(files.map(({ path }) => path)).size, 2);
    await uploads.sweep(events({}));
    assert.equal((await list()).length, 1, "a request that is being received keeps its files");
    await claim("17");
    await uploads.sweep(events({ "": "17" }));
    assert.equal((await list()).length, 1);
    await uploads.sweep(events({}));
    assert.deepEqual(await list(), []);
  });
});

Deno.test("after a crash, files of an event that was accepted stay, and those of others go", async () => {
  await withUploads(async (open, list) => {
    await open().save([UPLOAD], [OWNER], NOW);
    await open().save([UPLOAD], [{ ...OWNER, id: "e2" }], NOW);
    const restarted = open();
    await restarted.sweep(events({ "/hooks/x e1": "17" }));
    assert.equal((await list()).length, 1);
    await restarted.sweep(events({ "": "17" }));
    assert.equal((await list()).length, 1, "its key is known from then on");
    await restarted.sweep(events({}));
    assert.deepEqual(await list(), []);
  });
});

Deno.test("files that are discarded, or cannot be saved, leave nothing", async () => {
  await withUploads(async (open, list) => {
    const { discard } = await open().save([UPLOAD], [OWNER], NOW);
    await discard();
    assert.deepEqual(await list(), []);
  });
  const folder = await mkdtemp(join(tmpdir(), "uploads-"));
  const full = { ...realDisk, rename: () => Promise.reject(new Error("ENOSPC: no space left on device")) };
  const uploads = new Uploads(folder, new RunFiles(folder, full), full);
  await assert.rejects(
    uploads.save([UPLOAD], [OWNER], NOW),
    /^Error: Cannot save uploaded files: Cannot save the uploaded file "a\.txt" as "a\.txt": ENOSPC/,
  );
  assert.deepEqual(await readdir(join(folder, ".uploads")), []);
  await rm(folder, { recursive: true });
});
