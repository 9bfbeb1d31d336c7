import assert from "node:assert/strict";
import { readdir, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { openConnections } from "../../runtime/database/connection.ts";
import { StoredFiles } from "../../runtime/database/stored_files.ts";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { storeTasks } from "../../runtime/store/background.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { SharedStore } from "../../runtime/store/shared_store.ts";
import { until } from "../e2e/until.ts";
import { NOW, RETENTION, send } from "../store/helpers.ts";
import { insideOf } from "../store/shared/pair.ts";
import { dump } from "../store/state.ts";
import { connection, DatabaseServer, replica } from "./server.ts";

const server = await DatabaseServer.start();
server.endWithTests();

/** A replica with its store, as a program has it. */
interface Program extends AsyncDisposable {
  database: OpenDatabase;
  store: SharedStore;
  warnings: string[];
  /** Ends it as a crash does, but that the others need not wait for its signs of life. */
  kill(): Promise<void>;
  /** Takes over when nobody decides. */
  takeOver(): Promise<void>;
}

async function start(url: string): Promise<Program> {
  const database = await replica(url);
  await database.members.note({ address: "http://here" });
  await database.folder.load();
  const warnings: string[] = [];
  const store = await openStore({
    folder: database.path,
    disk: database.folder.disk,
    lock: database.lock,
    elsewhere: database.elsewhere,
    follow: database.lease === undefined,
    now: NOW,
    onWarning: (message) => warnings.push(message),
  });
  store.listenToOwn({ hasListener: () => false, onNotice() {} });
  let watch: { stop(): Promise<void> } | undefined;
  const decide = async () => {
    await store.decideForOthers();
    watch = database.members.watch((id) => store.retire(id, NOW));
  };
  if (database.lease !== undefined) await decide();
  let isKilled = false;
  const kill = async () => {
    if (isKilled) return;
    isKilled = true;
    await watch?.stop();
    await database[Symbol.asyncDispose]();
  };
  return {
    database,
    store,
    warnings,
    kill,
    async takeOver() {
      await database.decide(AbortSignal.timeout(60_000));
      await store.promote(() => database.folder.takeOver());
      await decide();
    },
    [Symbol.asyncDispose]: async () => {
      if (!isKilled) await store.close();
      await kill();
    },
  };
}

/** One that decides and others that follow, all with an event that is not folded. The first one that follows is to fold. */
async function startAll(url: string, count: number): Promise<Program[]> {
  const programs: Program[] = [];
  while (programs.length < count) programs.push(await start(url));
  await send(programs[0].store, "e1");
  await told(programs);
  return programs;
}

/** Waits until each of these replicas has applied all frames, and said so with a sign of life. */
async function told(programs: Program[]): Promise<void> {
  const ids = programs.map(({ database: { members } }) => members.me);
  const look = async () => (await programs[0].database.members.list()).filter(({ id }) => ids.includes(id));
  await until("all frames to be applied", look, (list) => list.every(({ behind }) => behind === 0));
}

const partsOf = async ({ database: { path } }: Program) =>
  (await readdir(path)).filter((name) => name.startsWith("part-")).length;

/** All that a store has: rows with indexes and counts, identities, history. */
async function contents({ store }: Program) {
  const { rows, history } = insideOf(store);
  return {
    dump: dump(rows),
    events: await store.listEvents({ limit: 1e6 }),
    runs: await store.listRuns({ limit: 1e6 }),
    counts: history.counts(),
  };
}

/** Checks that all replicas, and one that starts now, have the same, with these events. The first one decides. */
async function assertAll(url: string, programs: Program[], ids: string[]): Promise<void> {
  await using fresh = await start(url);
  await programs[0].store.countRuns();
  const last = programs[0].store.changes();
  const look = () => Promise.resolve([...programs, fresh].map(({ store }) => store.changes()));
  await until("all frames to be applied", look, (seen) => seen.every((seq) => seq === last));
  const expected = await contents(programs[0]);
  assert.deepEqual(expected.events.map(({ event }) => event.id), ids.toReversed());
  for (const program of [...programs.slice(1), fresh]) assert.deepEqual(await contents(program), expected);
  for (const id of ids) assert.equal((await send(fresh.store, id)).delivery, "duplicate");
}

/** The content of each file of the store in the database, by name. */
async function filesOf(url: string): Promise<Map<string, string>> {
  await using sql = await connection(url);
  const rows = await sql`select path, blob from whenthen.files where path ~ '^(base|delta|ids|part)-' order by path`;
  return new Map(rows.map(({ path, blob }) => [path, blob]));
}

/** A promise that is kept until `release`; `reached` when somebody waits for it. */
function gate() {
  const [reached, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const pass = () => {
    reached.resolve();
    return open.promise;
  };
  return { pass, reached: reached.promise, release: open.resolve };
}

/** Holds a replica at a point of a fold. */
function hold({ database: { elsewhere } }: Program, point: "prepareFold" | "upload" | "answer" | "publish") {
  const { pass, ...held } = gate();
  if (point === "answer") {
    const next = elsewhere.exchange.send.bind(elsewhere.exchange);
    elsewhere.exchange.send = async (seq, calls) => {
      if (calls.includes('"endFold"')) await pass();
      await next(seq, calls);
    };
    return held;
  }
  const next = elsewhere[point] as (...given: unknown[]) => Promise<never>;
  elsewhere[point] = async (...given: unknown[]) => {
    await pass();
    return await next(...given);
  };
  return held;
}

Deno.test("a replica that follows folds; files that are missing or short on its machine are downloaded before a merge", async () => {
  const url = await server.create();
  const programs = await startAll(url, 3);
  const [decider, follower, other] = programs;
  await decider.store.checkpoint();
  await send(follower.store, "e2");
  await told(programs);
  await decider.store.checkpoint();
  assert.deepEqual(await Promise.all(programs.map(partsOf)), [0, 2, 0]);
  assert.deepEqual([...(await filesOf(url)).keys()].map((name) => name.split("-")[0]), [
    ...["delta", "delta", "ids", "ids", "part", "part"],
  ]);
  await assertAll(url, programs, ["e1", "e2"]);
  // The steps of a merge one by one, because no merge is due yet.
  const { path, elsewhere } = follower.database;
  const [one, two] = [...(await filesOf(url)).keys()].filter((name) => name.startsWith("delta-"));
  await rm(join(path, one));
  await truncate(join(path, two), 5);
  const task = { name: "merge", args: { now: NOW, retention: RETENTION.identities } } as const;
  await assert.rejects(elsewhere.prepareFold(task, AbortSignal.abort()), { name: "AbortError" });
  assert.ok(!(await readdir(path)).includes(one), "a take-over does not wait for what it would have downloaded");
  await elsewhere.prepareFold(task, new AbortController().signal);
  const { result: merged } = await storeTasks.merge(realDisk, path, task.args);
  const uploaded = await elsewhere.upload(new AbortController().signal);
  assert.deepEqual(uploaded.map(({ path }) => path).sort(), [merged!.base.name, merged!.ids.name]);
  assert.ok(!(await filesOf(url)).has(merged!.base.name), "not before it is published");
  await decider.database.elsewhere.publish(uploaded);
  // Its answer may be lost, so that it is made again.
  await decider.database.elsewhere.publish(uploaded);
  assert.ok((await filesOf(url)).has(merged!.base.name));
  await send(decider.store, "e3");
  await told(programs);
  await decider.store.checkpoint();
  assert.deepEqual(await partsOf(follower), 3);
  assert.deepEqual(programs.flatMap(({ warnings }) => warnings), []);
  await assertAll(url, programs, ["e1", "e2", "e3"]);
  for (const program of [other, follower, decider]) await program[Symbol.asyncDispose]();
});

for (const point of ["prepareFold", "upload", "answer"] as const) {
  Deno.test(`the replica that folds is killed before "${point}": the one that decides folds`, async () => {
    const url = await server.create();
    const [decider, follower, other] = await startAll(url, 3);
    const { reached } = hold(follower, point);
    const checkpoint = decider.store.checkpoint();
    await reached;
    assert.deepEqual(await filesOf(url), new Map());
    await follower.kill();
    await checkpoint;
    assert.deepEqual(await Promise.all([decider, other].map(partsOf)), [1, 0]);
    assert.deepEqual(decider.warnings, []);
    await assertAll(url, [decider, other], ["e1"]);
    for (const program of [other, decider]) await program[Symbol.asyncDispose]();
  });

  for (const heir of ["the same", "another"]) {
    Deno.test(`who decides is killed while a replica is before "${point}", and ${heir} replica takes over: its work is not added`, async () => {
      const url = await server.create();
      const [decider, follower, other] = await startAll(url, 3);
      const [next, rest] = heir === "another" ? [other, follower] : [follower, other];
      const { reached, release } = hold(follower, point);
      void decider.store.checkpoint().catch(() => {});
      await reached;
      await decider.kill();
      if (heir === "the same") release();
      await next.takeOver();
      release();
      // What it sends now is decided after what is on its way.
      await send(rest.store, "e2");
      assert.deepEqual(await filesOf(url), new Map());
      await told([next]);
      await next.store.checkpoint();
      assert.equal(await partsOf(rest), 1);
      await assertAll(url, [next, rest], ["e1", "e2"]);
      for (const program of [rest, next]) await program[Symbol.asyncDispose]();
    });
  }
}

Deno.test("who has lost the lease cannot add what a replica has folded for it", async () => {
  const url = await server.create();
  const [decider, follower, other] = await startAll(url, 3);
  const { reached, release } = hold(decider, "publish");
  const checkpoint = decider.store.checkpoint();
  checkpoint.catch(() => {});
  await reached;
  await using sql = await connection(url);
  await sql`update whenthen.lease set holder = null`;
  await other.takeOver();
  release();
  await assert.rejects(checkpoint, { name: "FolderLostError" });
  assert.deepEqual(await filesOf(url), new Map());
  await decider.kill();
  await other.store.checkpoint();
  assert.equal(await partsOf(follower), 1);
  await assertAll(url, [other, follower], ["e1"]);
  for (const program of [follower, other]) await program[Symbol.asyncDispose]();
});

Deno.test("whether the files of a replica were added is not known: the one that decides folds again", async () => {
  const url = await server.create();
  const [decider, follower] = await startAll(url, 2);
  const { elsewhere } = decider.database;
  const own = await openConnections(url, { max: 1 });
  const { publish } = elsewhere;
  elsewhere.publish = async (uploaded) => {
    elsewhere.publish = publish;
    // The folder of this program does not learn of it.
    await new StoredFiles(own, () => decider.database.lease!).commit({
      added: new Map(uploaded!.map(({ path, ...file }) => [path, file])),
      removed: [],
    });
    throw new Error("the connection was closed");
  };
  // It tries again at once.
  await decider.store.checkpoint();
  await own.end();
  assert.deepEqual(decider.warnings, [
    "Cannot fold the log of the store: the connection was closed; nothing is lost, and it is tried again later",
    `Replica ${follower.database.members.me} cannot fold the log of the store: Frame 1 is folded already; this program does it`,
  ]);
  assert.deepEqual(await Promise.all([decider, follower].map(partsOf)), [1, 1]);
  assert.equal((await filesOf(url)).size, 3);
  await assertAll(url, [decider, follower], ["e1"]);
  for (const program of [follower, decider]) await program[Symbol.asyncDispose]();
});

Deno.test("replicas that fold: alive, of the same version, with an address; the oldest comes first", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using first = await replica(url);
  await using second = await replica(url);
  const ids = async () => (await decider.elsewhere.exchange.followers()).map(({ id }) => id);
  assert.deepEqual(await ids(), [], "without an address, as commands are");
  for (const { members } of [second, first, decider]) await members.note({ address: "http://here" });
  assert.deepEqual(await ids(), [first.members.me, second.members.me]);
  await first.members.note({ version: "1.2.2" });
  assert.deepEqual(await ids(), [second.members.me]);
  await using sql = await connection(url);
  await sql`update whenthen.replicas set fenced = true where id = ${second.members.me}`;
  assert.deepEqual(await ids(), []);
});
