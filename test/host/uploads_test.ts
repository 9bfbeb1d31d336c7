import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
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
    await claim(["17", "18"]);
    await uploads.sweep(events({ "": "17" }));
    await uploads.sweep(events({ "": "18" }));
    assert.equal((await list()).length, 1, "two rules with different dedupe have an event each");
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

Deno.test("a file of owners that is cut off, a stray file and a folder that cannot be checked stop no sweep", async () => {
  await withUploads(async (open, list) => {
    const ids: string[] = [];
    for (const id of ["e1", "e2", "e3"]) {
      const { files } = await open().save([UPLOAD], [{ ...OWNER, id }], NOW);
      ids.push(files[0].path.split("/").at(-3)!);
    }
    const folder = join((await open().save([UPLOAD], [OWNER], NOW)).files[0].path, "../../..");
    await writeFile(join(folder, ids[0], "owners.json"), "");
    await writeFile(join(folder, ".DS_Store"), "");
    const findKey = ({ id }: { id: string }) =>
      id === "e2" ? Promise.reject(new Error("EMFILE")) : Promise.resolve("17");
    const known = { findKey: ({ id }: { id: string }) => id === "e3" ? Promise.resolve(undefined) : findKey({ id }) };
    const uploads = open();
    const sweep = () => uploads.sweep({ ...known, isKnown: () => Promise.resolve(true) });
    await assert.rejects(sweep(), /^Error: Uploaded files in .* stay, .*: EMFILE$/);
    await sweep();
    const left = await list();
    assert.deepEqual(ids.map((id) => left.includes(id)), [false, true, false]);
    assert.equal(left.length, 3);
  });
});

Deno.test("files that would take the space of the store are refused, and leave nothing", async () => {
  const folder = await mkdtemp(join(tmpdir(), "uploads-"));
  let free = 500_000_000 + UPLOAD.bytes.length;
  const small = { ...realDisk, space: () => Promise.resolve({ free, total: 20_000_000_000 }) };
  const uploads = new Uploads(folder, new RunFiles(folder, small), small);
  await (await uploads.save([UPLOAD], [OWNER], NOW)).discard();
  free--;
  await assert.rejects(
    uploads.save([UPLOAD], [OWNER], NOW),
    /^NoSpaceError: Cannot save uploaded files: the disk has 500 MB free, and 500 MB of it are for the store$/,
  );
  assert.deepEqual(await readdir(join(folder, ".uploads")), []);
  const { free: real, total } = await realDisk.space!(folder);
  assert.ok(real > 0 && real <= total);
  await rm(folder, { recursive: true });
});

Deno.test("files that are discarded, or cannot be saved, leave nothing", async () => {
  await withUploads(async (open, list) => {
    const { discard } = await open().save([UPLOAD], [OWNER], NOW);
    await discard();
    assert.deepEqual(await list(), []);
  });
  const folder = await mkdtemp(join(tmpdir(), "uploads-"));
  const noSpace = () => Promise.reject(new Error("ENOSPC: no space left on device"));
  const full = {
    ...realDisk,
    rename: (from: string, to: string) => to.endsWith(".txt") ? noSpace() : realDisk.rename(from, to),
  };
  const uploads = new Uploads(folder, new RunFiles(folder, full), full);
  await assert.rejects(
    uploads.save([UPLOAD], [OWNER], NOW),
    /^Error: Cannot save uploaded files: Cannot save the uploaded file "a\.txt" as "a\.txt": ENOSPC/,
  );
  assert.deepEqual(await readdir(join(folder, ".uploads")), []);
  await rm(folder, { recursive: true });
});
