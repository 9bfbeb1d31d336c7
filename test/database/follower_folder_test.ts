import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openConnections } from "../../runtime/database/connection.ts";
import { DatabaseFolder } from "../../runtime/database/database_folder.ts";
import { DatabaseLog } from "../../runtime/database/database_log.ts";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { FileChangedError, type StoredFile, StoredFiles } from "../../runtime/database/stored_files.ts";
import { type Disk, realDisk, replaceFile } from "../../runtime/host/disk.ts";
import { FolderLostError } from "../../runtime/host/lock.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { base32, newId } from "../../runtime/model/id.ts";
import { encodeFrame } from "../../runtime/store/log/log_frame.ts";
import { connection, DatabaseServer, replica } from "./server.ts";

const server = await DatabaseServer.start();
server.endWithTests();

const text = new TextEncoder();

async function write({ path, folder: { disk } }: OpenDatabase, name: string, content = name): Promise<void> {
  const place = join(path, name, "..");
  await disk.mkdir(place);
  await replaceFile(disk, place, name.slice(name.lastIndexOf("/") + 1), text.encode(content));
}

async function read({ path, folder: { disk } }: OpenDatabase, name: string): Promise<string> {
  return new TextDecoder().decode(await disk.read(join(path, name)));
}

/** Two replicas, of which the first one decides. */
async function two(url: string) {
  const decider = await replica(url);
  await decider.folder.load();
  const follower = await replica(url);
  await follower.folder.load();
  return {
    decider,
    follower,
    [Symbol.asyncDispose]: async () => {
      await follower[Symbol.asyncDispose]();
      await decider[Symbol.asyncDispose]();
    },
  };
}

/** The files of a store whose log is folded up to a frame. As after merges, the two newest bases stay. */
async function fold(database: OpenDatabase, last: number): Promise<void> {
  const number = String(last).padStart(12, "0");
  for (const kind of [/^base/, /^ids/]) {
    const older = (await storeOf(database)).filter((name) => kind.test(name)).slice(0, -1);
    for (const name of older) await rm(join(database.path, name));
  }
  for (const name of [`base-${number}`, `ids-000000000001-${number}-00000000.sqlite`]) {
    await writeFile(join(database.path, name), name);
  }
  await database.elsewhere.publish();
}

async function append({ elsewhere }: OpenDatabase, from: number, to: number): Promise<void> {
  for (let seq = from; seq <= to; seq++) await elsewhere.append(seq, encodeFrame(seq, `frame ${seq}`));
}

const storeOf = async ({ path }: OpenDatabase) =>
  (await readdir(path)).filter((name) => /^(?:base|ids|delta|part|log)-/.test(name)).sort();

Deno.test("files of runs: what another replica has saved, replaced or removed is seen by all, in both directions", async () => {
  await using both = await two(await server.create());
  for (const [one, other] of [[both.decider, both.follower], [both.follower, both.decider]]) {
    const run = `files/${newId(Date.now())}`;
    await write(one, `${run}/0123456789abcdef/note`, "first");
    assert.equal(await read(other, `${run}/0123456789abcdef/note`), "first");
    assert.deepEqual(await other.folder.disk.list(join(other.path, run)), ["0123456789abcdef"]);
    assert.ok((await other.folder.disk.list(join(other.path, "files"))).includes(run.slice(6)));
    await write(one, `${run}/0123456789abcdef/note`, "second");
    assert.equal(await read(other, `${run}/0123456789abcdef/note`), "second");
    const file = await other.folder.disk.open(join(other.path, run, "0123456789abcdef/note"));
    assert.equal(Buffer.from(await file.read(0, 99)).toString(), "second");
    await file.close();
    await other.folder.disk.removeFolder(join(other.path, run));
    await assert.rejects(read(one, `${run}/0123456789abcdef/note`), /ENOENT/);
    await one.folder.tidy();
    await assert.rejects(readFile(join(one.path, run, "0123456789abcdef/note")), /ENOENT/);
  }
});

Deno.test("a folder of a run is brought here, with the paths that other replicas have recorded", async () => {
  await using both = await two(await server.create());
  const { decider, follower } = both;
  const run = newId(Date.now());
  const disk = decider.folder.disk;
  const theirs = new RunFiles(join(decider.path, "files"), disk, undefined, () => Promise.resolve());
  const saved = await theirs.saveSent(
    { run, step: "a", name: "note", what: "a note" },
    text.encode("hello"),
    "text/plain",
  );
  await write(decider, `files/${run}/left`, "by a command");
  const bring = (folder: string) => follower.folder.bring(`files/${folder}`);
  const ours = new RunFiles(join(follower.path, "files"), follower.folder.disk, undefined, bring);
  const recorded = {
    steps: [{ output: saved, other: [1, null, "x"] }],
    said: `it is in ${decider.path}/files/${run}, yes`,
  };
  const local = await ours.localize(recorded);
  const here = join(follower.path, "files", run);
  assert.equal(local.steps[0].output.path.startsWith(here), true, local.steps[0].output.path);
  assert.equal(local.said, `it is in ${here}, yes`);
  assert.equal(await readFile(local.steps[0].output.path, "utf8"), "hello");
  assert.equal(await readFile(join(here, "left"), "utf8"), "by a command");
  assert.equal(new TextDecoder().decode(await ours.read(saved)), "hello");
  assert.equal(await ours.localize(local), local, "what is of here stays as it is");
  const other = newId(Date.now());
  await write(decider, `files/${other}/left`, "by a command, and recorded nowhere");
  assert.equal(await readFile(join(await ours.folderOf(other), "left"), "utf8"), "by a command, and recorded nowhere");
});

Deno.test("a follower changes no file of the store, and a fenced one no file at all", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using both = await two(url);
  const { decider, follower } = both;
  await append(decider, 1, 9);
  await fold(decider, 8);
  await follower.folder.loadStore();
  const before = await sql`select path from whenthen.files order by path`;
  await follower.folder.disk.remove(join(follower.path, "base-000000000008"));
  await follower.folder.disk.syncFolder(follower.path);
  assert.deepEqual(await sql`select path from whenthen.files order by path`, before);
  await sql`update whenthen.replicas set fenced = true where id = ${follower.members.me}`;
  await assert.rejects(write(follower, `files/${newId(Date.now())}/note`), FolderLostError);
  assert.deepEqual(await sql`select path from whenthen.files order by path`, before);
  assert.ok(follower.lost);
});

Deno.test("loadStore brings the store to the state of the database, and leaves files of runs alone", async () => {
  await using both = await two(await server.create());
  const { decider, follower } = both;
  const note = `files/${newId(Date.now())}/note`;
  await write(follower, note);
  await append(decider, 1, 12);
  await fold(decider, 4);
  await follower.folder.loadStore();
  const first = ["base-000000000004", "ids-000000000001-000000000004-00000000.sqlite", "log-000000000005"];
  assert.deepEqual(await storeOf(follower), first);
  await fold(decider, 8);
  await fold(decider, 10);
  await append(decider, 13, 13);
  await writeFile(join(follower.path, note), "in use");
  await follower.folder.loadStore();
  assert.deepEqual(await storeOf(follower), [
    "base-000000000008",
    "base-000000000010",
    "ids-000000000001-000000000008-00000000.sqlite",
    "ids-000000000001-000000000010-00000000.sqlite",
    "log-000000000011",
  ]);
  assert.equal(await readFile(join(follower.path, note), "utf8"), "in use");
  assert.match(await readFile(join(follower.path, "log-000000000011"), "latin1"), /frame 11.*frame 13/s);
  // It decides from now on, and goes on where the other one has stopped.
  await decider.close();
  await follower.decide(AbortSignal.timeout(60_000));
  await follower.folder.loadStore();
  await append(follower, 14, 14);
  await fold(follower, 14);
});

Deno.test("who takes over gets the log and the live rows; identities come before the next fold", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using both = await two(url);
  const { decider, follower } = both;
  await append(decider, 1, 12);
  await fold(decider, 4);
  await fold(decider, 10);
  await decider.close();
  await follower.decide(AbortSignal.timeout(60_000));
  await follower.folder.takeOver();
  assert.deepEqual(await storeOf(follower), ["base-000000000004", "base-000000000010", "log-000000000011"]);
  const ids = ["ids-000000000001-000000000004-00000000.sqlite", "ids-000000000001-000000000010-00000000.sqlite"];
  const listed = await follower.folder.disk.list(follower.path);
  assert.deepEqual(ids.filter((name) => !listed.includes(name)), [], "they are listed like the others");
  await append(follower, 13, 13);
  await follower.elsewhere.fetchStore("merge");
  await fold(follower, 13);
  const [{ count }] = await sql`select count(*)::int from whenthen.files where path ~ '^(base|ids)-'`;
  const here = (await storeOf(follower)).filter((name) => !name.startsWith("log-"));
  assert.equal(here.length, count, "all that is in the database, and no more");
});

Deno.test("uploads that did not end are removed by a program that began to decide later", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using both = await two(url);
  const { decider, follower } = both;
  const note = `files/${newId(Date.now())}/note`;
  await write(follower, note);
  const [{ blob: listed }] = await sql`select blob from whenthen.files where path = ${note}`;
  const [old, fresh] = [base32(Date.now() - 3_700_000, 9), base32(Date.now(), 9)].map((time) => `${time}-left`);
  for (const blob of [old, fresh]) await sql`insert into whenthen.chunks (blob, part, bytes) values (${blob}, 0, '')`;
  const blobs = async () => {
    const rows = await sql`select blob from whenthen.chunks where blob = any(${[listed, old, fresh]})`;
    return rows.map(({ blob }) => blob).sort();
  };
  await follower.folder.tidy();
  assert.deepEqual(await blobs(), [listed, old, fresh].sort(), "one that follows may not");
  await decider.close();
  await follower.decide(AbortSignal.timeout(60_000));
  await follower.folder.tidy();
  assert.deepEqual(await blobs(), [listed, fresh].sort());
});

Deno.test("files that are replaced while they are downloaded: the newer ones are taken, all of one state", async () => {
  const url = await server.create();
  await using both = await two(url);
  await using sql = await connection(url);
  const { decider, follower } = both;
  await append(decider, 1, 20);
  await fold(decider, 4);
  const folds = [[6, 8], [10, 12], [14, 16]];
  let folding = Promise.resolve();
  class Slow extends StoredFiles {
    override async download(disk: Disk, folder: string, path: string, file: StoredFile): Promise<void> {
      // Two bases are kept, so the second fold removes what this looks for.
      const next = folds.shift() ?? [];
      await (folding = folding.then(async () => {
        for (const last of next) await fold(decider, last);
      }));
      await super.download(disk, folder, path, file);
    }
  }
  const own = await openConnections(url, { max: 1 });
  const files = new Slow(own, () => follower.members as never);
  const folder = new DatabaseFolder(follower.path, files, new DatabaseLog(own, () => undefined), () => false);
  await folder.load();
  await own.end();
  const names = await storeOf(follower);
  const stored = await sql`select path from whenthen.files where path like 'base%' or path like 'ids%' order by path`;
  assert.deepEqual(names, [...stored.map(({ path }) => path), "log-000000000017"]);
});

Deno.test("keys and vaults: the newest content on demand, and no change of another replica is lost", async () => {
  await using both = await two(await server.create());
  const { decider, follower } = both;
  await write(decider, "connections", "1");
  assert.equal(await follower.folder.refresh("connections"), true);
  assert.equal(await follower.folder.refresh("connections"), false);
  assert.equal(await read(follower, "connections"), "1");
  await write(follower, "connections", "2");
  await assert.rejects(write(decider, "connections", "3"), FileChangedError);
  assert.equal(await read(decider, "connections"), "2", "what the other one has written");
  await write(decider, "connections", "4");
  await write(follower, "hooks", "other files are not concerned");
  assert.equal(await follower.folder.refresh("connections"), true);
  assert.equal(await read(follower, "connections"), "4");
});

Deno.test("what uploads have left is removed after an hour, not while another replica may be uploading", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  const [old, recent] = [`${base32(Date.now() - 4_000_000, 9)}00000000000`, newId(Date.now())];
  for (const blob of [old, recent]) await sql`insert into whenthen.chunks values (${blob}, 0, ${Buffer.from("x")})`;
  await decider.folder.load();
  assert.deepEqual((await sql`select blob from whenthen.chunks`).map(({ blob }) => blob), [recent]);
});

Deno.test("the copies of an earlier start are removed, and two programs on one machine have two folders", async () => {
  const url = await server.create();
  const first = await replica(url);
  await mkdir(join(first.path, "files"));
  await realDisk.create(join(first.path, "base-000000000001")).then((file) => file.close());
  await first.close();
  await using again = await replica(url);
  assert.equal(again.path, first.path);
  await again.folder.load();
  assert.deepEqual((await readdir(again.path)).filter((name) => !name.startsWith("lock")), []);
  await using second = await replica(url);
  assert.equal(second.path, `${again.path}-2`);
  await rm(second.path, { recursive: true });
});
