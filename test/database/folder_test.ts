import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../runtime/database/connection.ts";
import { DatabaseFolder } from "../../runtime/database/database_folder.ts";
import { DatabaseLog } from "../../runtime/database/database_log.ts";
import { takeLease } from "../../runtime/database/lease.ts";
import { StoredFiles } from "../../runtime/database/stored_files.ts";
import { type Disk, realDisk, replaceFile } from "../../runtime/host/disk.ts";
import { DatabaseServer } from "./server.ts";

/** A folder of a database, and its parts. */
async function opened(url: string) {
  const sql = await connect(url);
  const lease = await takeLease(sql, { onHeld: () => {} });
  const path = await mkdtemp(join(tmpdir(), "whenthen-copy-"));
  const files = new StoredFiles(sql, () => lease);
  const folder = new DatabaseFolder(path, files, new DatabaseLog(sql, () => lease), () => true);
  await folder.load();
  return {
    sql,
    path,
    files,
    folder,
    [Symbol.asyncDispose]: async () => {
      await lease.release();
      await sql.end({ timeout: 1 });
      await rm(path, { recursive: true });
    },
  };
}

const text = new TextEncoder();

Deno.test("files of any name come back on another machine; drafts, and what is of the machine, do not", async () => {
  await using server = await DatabaseServer.start();
  const url = await server.create();
  const kept = ["key", "files/r1/0123456789abcdef/note.tmp", "files/r1/0123456789abcdef/a.new", "files/r1/b.tmp"];
  {
    await using first = await opened(url);
    const { folder: { disk }, path } = first;
    for (const name of [...kept, "address", "probe", "files/r1/0123456789abcdef.new"]) {
      const [file, place] = [name.slice(name.lastIndexOf("/") + 1), join(path, name, "..")];
      await disk.mkdir(place);
      if (file.endsWith(".new") && file.length > 10) await (await disk.create(join(place, file))).close();
      else await replaceFile(disk, place, file, text.encode(name));
      await disk.syncFolder(place);
    }
  }
  await using second = await opened(url);
  assert.deepEqual([...(await second.files.list()).keys()].sort(), [...kept].sort());
  for (const name of kept) {
    assert.equal(new TextDecoder().decode(await second.folder.disk.read(join(second.path, name))), name);
  }
  await second.folder.disk.removeFolder(join(second.path, "files/r1"));
  assert.deepEqual([...(await second.files.list()).keys()], ["key"]);
});

Deno.test("files that are lost on this machine are fetched again, and stay in the database", async () => {
  await using server = await DatabaseServer.start();
  const url = await server.create();
  await using place = await opened(url);
  const { folder, path, files } = place;
  const names = [
    "base-000000000009",
    "ids-000000000001-000000000009-00000000.sqlite",
    "part-000000000001-000000000009-00000000.sqlite",
  ];
  for (const name of names) await replaceFile(realDisk, path, name, text.encode(name));
  await folder.publishStore();
  for (const name of names) await rm(join(path, name));
  await folder.publishStore();
  assert.deepEqual([...(await files.list()).keys()].sort(), names);
  assert.ok(!(await readdir(path)).includes(names[0]));
  await folder.fetchStore("merge");
  assert.deepEqual((await readdir(path)).filter((name) => names.includes(name)), names.slice(0, 2), "before a fold");
  assert.equal(new TextDecoder().decode(await folder.disk.read(join(path, names[2]))), names[2], "when somebody looks");
  await folder.disk.remove(join(path, names[2]));
  await folder.publishStore();
  assert.deepEqual([...(await files.list()).keys()].sort(), names.slice(0, 2));
});

Deno.test("a file that shrinks while it is uploaded is stored as it was read", async () => {
  await using server = await DatabaseServer.start();
  await using place = await opened(await server.create());
  const { path, files } = place;
  await replaceFile(realDisk, path, "note", text.encode("all of it"));
  const shrinking: Disk = {
    ...realDisk,
    open: async (name) => {
      const file = await realDisk.open(name);
      return { ...file, size: 5_000_000, read: file.read, close: file.close };
    },
  };
  const stored = await files.upload(shrinking, path, "note");
  assert.equal(stored.bytes, 9);
  await files.commit({ added: new Map([["note", stored]]), removed: [] });
  await files.download(realDisk, path, "again", stored);
  assert.equal(new TextDecoder().decode(await realDisk.read(join(path, "again"))), "all of it");
});

Deno.test("a path out of the data folder is refused", async () => {
  await using server = await DatabaseServer.start();
  await using place = await opened(await server.create());
  await place.sql.unsafe("insert into whenthen.files values ('../../etc/x', 'b', 0)");
  await assert.rejects(place.files.list(), /names a file outside of the data folder: "\.\.\/\.\.\/etc\/x"/);
});
