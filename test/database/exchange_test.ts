import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "../../runtime/database/connection.ts";
import { DatabaseLog } from "../../runtime/database/database_log.ts";
import { DatabaseExchange } from "../../runtime/database/exchange.ts";
import { Registration } from "../../runtime/database/members.ts";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { pack } from "../../runtime/database/packing.ts";
import type { Sql } from "../../runtime/database/pool.ts";
import { StoredFiles } from "../../runtime/database/stored_files.ts";
import { Wakes } from "../../runtime/database/wakes.ts";
import { FolderLostError } from "../../runtime/host/lock.ts";
import { type Batch, type LoggedFrame, MissingFramesError } from "../../runtime/store/elsewhere.ts";
import { encodeFrame } from "../../runtime/store/log/log_frame.ts";
import { until, within } from "../e2e/until.ts";
import { connection, DatabaseServer, INFO, replica } from "./server.ts";

const server = await DatabaseServer.start();
server.endWithTests();

const NO_CURSORS = new Map<string, number>();

async function append({ elsewhere }: OpenDatabase, from: number, to: number, text = "frame"): Promise<void> {
  for (let seq = from; seq <= to; seq++) await elsewhere.append(seq, encodeFrame(seq, `${text} ${seq}`));
}

/** A text that packing makes a fourth shorter, and no more. */
function noise(characters: number): string {
  return randomBytes(characters).toString("base64").slice(0, characters);
}

/** Collects the texts of frames, until its signal is aborted. `reach` waits until so many have come. */
function collect(frames: AsyncIterable<LoggedFrame[]>) {
  const texts: string[] = [];
  const done = (async () => {
    for await (const some of frames) {
      for (const { frame } of some) texts.push(Buffer.from(frame).toString("utf8", 20));
    }
  })();
  // A test that does not wait for its end may close the connections before.
  done.catch(() => {});
  const reach = (count: number) =>
    until(`${count} frames`, () => Promise.resolve(texts.length), (seen) => seen === count);
  return { texts, done, reach };
}

const textsTo = (last: number) => Array.from({ length: last }, (_, index) => `frame ${index + 1}`);

/** The parts of a follower, with a count of its queries of the log and the inbox. */
async function parts(url: string) {
  const [all, wakes] = [await connect(url), await Wakes.open(url)];
  const members = await Registration.register(wakes, { info: INFO, now: Date.now, onSilent: () => {} });
  const queries = { count: 0 };
  const sql: Sql = {
    unsafe: (query, values) => {
      if (/from whenthen\.(?:log|inbox)/.test(query)) queries.count++;
      return all.unsafe(query, values);
    },
    begin: (work) => all.begin(work),
    askBoth: (query, values, next) => all.askBoth(query, values, next),
    end: (options) => all.end(options),
  };
  const log = new DatabaseLog(sql, () => undefined);
  const exchange = new DatabaseExchange({ sql, wakes, log, members, lost: () => members.lost });
  return {
    exchange,
    wakes,
    queries,
    [Symbol.asyncDispose]: async () => {
      await members.leave();
      await Promise.all([sql.end({ timeout: 1 }), wakes.sql.end({ timeout: 1 })]);
    },
  };
}

/** One that gets no notifications, as behind a pooler in transaction mode. */
async function deaf(url: string) {
  const replica = await parts(url);
  await replica.wakes.sql.unsafe("unlisten *");
  return replica;
}

/** Receives so many batches. */
async function received({ elsewhere }: OpenDatabase, cursors: Map<string, number>, count: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  while (batches.length < count) {
    const some = await elsewhere.exchange.receive(cursors, AbortSignal.timeout(60_000));
    for (const { replica, seq } of some) cursors.set(replica, seq);
    batches.push(...some);
  }
  return batches;
}

Deno.test("batches arrive in the order of each replica, beyond the cursors, once however often they are sent", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using a = await replica(url);
  await using b = await replica(url);
  const { signal } = new AbortController();
  const receiving = decider.elsewhere.exchange.receive(NO_CURSORS, signal);
  await a.elsewhere.exchange.send(1, "a1");
  assert.deepEqual(await receiving, [{ replica: a.members.me, seq: 1, calls: "a1" }]);
  await a.elsewhere.exchange.send(2, "a2");
  await a.elsewhere.exchange.send(2, "a2 again");
  await a.elsewhere.exchange.send(3, "a3");
  await b.elsewhere.exchange.send(1, "b1");
  // The one that decides may send, too.
  await decider.elsewhere.exchange.send(1, "d1");
  const cursors = new Map([[a.members.me, 1], ["gone", 7]]);
  const batches = await received(decider, cursors, 4);
  const of = (me: string) => batches.filter(({ replica }) => replica === me).map(({ calls }) => calls);
  assert.deepEqual([of(a.members.me), of(b.members.me), of(decider.members.me)], [["a2", "a3"], ["b1"], ["d1"]]);
  assert.deepEqual(await decider.elsewhere.exchange.rest(a.members.me, 2), [
    { replica: a.members.me, seq: 3, calls: "a3" },
  ]);
});

Deno.test("many large batches come in pieces, and no replica waits behind another one", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using a = await replica(url);
  await using b = await replica(url);
  const calls = JSON.stringify(noise(1_500_000));
  for (let seq = 1; seq <= 6; seq++) await a.elsewhere.exchange.send(seq, calls);
  await b.elsewhere.exchange.send(1, "small");
  const cursors = new Map<string, number>();
  const turns: string[][] = [];
  for (let count = 0; count < 7;) {
    const batches = await decider.elsewhere.exchange.receive(cursors, new AbortController().signal);
    for (const { replica, seq } of batches) {
      assert.equal(seq, (cursors.get(replica) ?? 0) + 1);
      cursors.set(replica, seq);
    }
    turns.push(batches.map(({ calls }) => calls));
    count += batches.length;
  }
  assert.ok(turns.length >= 2 && turns.length <= 6, `${turns.length} turns`);
  assert.ok(turns[0].includes("small"));
  assert.ok(turns.flat().includes(calls), "as it was sent");
});

Deno.test("decided batches are removed, up to their cursors", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using a = await replica(url);
  const { me } = a.members;
  for (let seq = 1; seq <= 3; seq++) await a.elsewhere.exchange.send(seq, `a${seq}`);
  const { exchange } = decider.elsewhere;
  await Promise.all([exchange.forget(new Map([[me, 1]])), exchange.forget(new Map([[me, 2]]))]);
  assert.deepEqual(await exchange.rest(me, 0), [{ replica: me, seq: 3, calls: "a3" }]);
});

Deno.test("what a replica sends counts before it is fenced, and never after that, however close", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using a = await replica(url);
  const { me } = a.members;
  await a.elsewhere.exchange.send(1, "before");
  const sending = await sql.begin(async (transaction) => {
    await transaction`update whenthen.replicas set fenced = true where id = ${me}`;
    // It waits for the row.
    const sending = assert.rejects(a.elsewhere.exchange.send(2, "after"), FolderLostError);
    const waits = () => transaction`select count(*)::int from pg_locks where not granted`;
    await until("it to wait", waits, ([{ count }]) => count > 0);
    return { sending };
  });
  await sending.sending;
  assert.deepEqual(await decider.elsewhere.exchange.rest(me, 0), [{ replica: me, seq: 1, calls: "before" }]);
  assert.match(a.lost!.message, /This replica gave no sign of life for 3 s, so its runs went to others/);
  await assert.rejects(a.elsewhere.exchange.receive(NO_CURSORS, new AbortController().signal), FolderLostError);
});

Deno.test("frames come as they are appended, in order, also when the notifying connection dies", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using follower = await replica(url);
  const stop = new AbortController();
  await append(decider, 1, 300);
  const { texts, done, reach } = collect(follower.elsewhere.exchange.tail(0, stop.signal));
  await reach(300);
  await append(decider, 301, 310);
  await reach(310);
  // The connection is known by its last statement, which may be another one for a moment.
  const terminate = async (): Promise<number> => {
    const [{ count }] = await sql`
      select count(pg_terminate_backend(pid))::int from pg_stat_activity
      where datname = current_database() and query ilike 'listen%' or query like 'update whenthen.replicas set beat%'`;
    return count;
  };
  await until("the notifying connection", terminate, (count) => count >= 1);
  await append(decider, 311, 320);
  await reach(320);
  stop.abort();
  await within(5_000, "the end of the frames", done);
  assert.deepEqual(texts, textsTo(320));
  assert.equal(follower.lost, undefined);
});

Deno.test("without notifications frames and batches come by looking for them", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using follower = await deaf(url);
  const stop = new AbortController();
  const { texts, done, reach } = collect(follower.exchange.tail(0, stop.signal));
  await append(decider, 1, 1);
  await reach(1);
  await follower.exchange.send(1, "call");
  const begun = performance.now();
  for (let seq = 2; seq <= 11; seq++) {
    await append(decider, seq, seq);
    await reach(seq);
  }
  assert.ok(performance.now() - begun < 10 * 250, "while a call may be waiting for its answer, it looks more often");
  stop.abort();
  await done;
  assert.deepEqual(texts, textsTo(11));
  assert.equal(follower.wakes.count("frames"), 1, "the one from listening");
  const receiving = follower.exchange.receive(NO_CURSORS, AbortSignal.timeout(30_000));
  assert.equal((await receiving)[0].calls, "call");
});

Deno.test("notifications bring short frames and calls, without a query; a query finds the others", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using follower = await parts(url);
  const stop = new AbortController();
  const { texts, done, reach } = collect(follower.exchange.tail(0, stop.signal));
  await append(decider, 1, 1);
  await reach(1);
  const { queries } = follower;
  // Each 250 ms without a notification there is one.
  const queriesFor = async (work: () => Promise<unknown>) => {
    const [before, begun] = [queries.count, performance.now()];
    await work();
    return queries.count - before - Math.floor((performance.now() - begun) / 250);
  };
  const made = await queriesFor(async () => {
    for (let seq = 2; seq <= 60; seq++) {
      await append(decider, seq, seq);
      await reach(seq);
    }
  });
  assert.ok(made <= 2, `${made} queries for 59 frames`);
  const large = Array.from({ length: 10 }, (_, index) => noise(index % 2 === 0 ? 50 : 9_000));
  for (const [index, text] of large.entries()) {
    await decider.elsewhere.append(61 + index, encodeFrame(61 + index, text));
  }
  await reach(70);
  stop.abort();
  await done;
  assert.deepEqual(texts, [...textsTo(60), ...large]);
  const cursors = new Map<string, number>();
  await follower.exchange.send(1, "first");
  assert.equal((await received(decider, cursors, 1))[0].calls, "first");
  for (const calls of ["short", noise(9_000), "short again"]) {
    await decider.elsewhere.exchange.send(1 + (cursors.get(decider.members.me) ?? 0), calls);
    const batches: Batch[] = [];
    const receiving = async () => {
      while (batches.length === 0) {
        batches.push(...await follower.exchange.receive(cursors, AbortSignal.timeout(60_000)));
      }
    };
    await receiving();
    for (const { replica, seq } of batches) cursors.set(replica, seq);
    assert.deepEqual(batches.map(({ calls }) => calls), [calls]);
  }
});

Deno.test("frames that are as long as a notification can carry, or longer, arrive as they are", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using follower = await replica(url);
  const { texts, reach } = collect(follower.elsewhere.exchange.tail(0, AbortSignal.timeout(60_000)));
  const [{ channel }] = await sql`select channel from whenthen.version`;
  const notifications: string[] = [];
  await sql.listen(channel, (text) => void notifications.push(text));
  const sent: string[] = [];
  for (let seq = 1; seq <= 40; seq++) {
    sent.push(noise(7_350 + seq * 10));
    await decider.elsewhere.append(seq, encodeFrame(seq, sent.at(-1)!));
    await follower.elsewhere.exchange.send(seq, sent.at(-1)!);
  }
  await reach(sent.length);
  assert.deepEqual(texts, sent);
  assert.deepEqual((await received(decider, new Map(), 40)).map(({ calls }) => calls), sent);
  await until("all notifications", () => Promise.resolve(notifications.length), (count) => count === 80);
  for (const [news, at] of [["frames", 4], ["calls", 3]] as const) {
    const carried = notifications.map((text) => text.split(" ")).filter((words) => words[0] === news)
      .map((words) => Buffer.from(words[at] ?? "", "base64").length);
    assert.equal(carried.length, 40);
    assert.ok(carried.some((bytes) => bytes > 5_650) && carried.some((bytes) => bytes === 0), `${carried} bytes`);
  }
});

Deno.test("more news than is kept while a follower is busy is all found", async () => {
  const url = await server.create();
  await using decider = await replica(url);
  await using follower = await replica(url);
  const tail = follower.elsewhere.exchange.tail(0, AbortSignal.timeout(60_000))[Symbol.asyncIterator]();
  await append(decider, 1, 1);
  let seen = (await tail.next()).value.length;
  await append(decider, 2, 200);
  while (seen < 200) seen += (await tail.next()).value.length;
  assert.equal(seen, 200);
});

Deno.test("a replica that was retired is not heard any more, whatever notification comes late", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using a = await replica(url);
  const cursors = new Map<string, number>();
  const { exchange } = decider.elsewhere;
  await a.elsewhere.exchange.send(1, "first");
  await received(decider, cursors, 1);
  await a.elsewhere.exchange.send(2, "second");
  await exchange.forget(new Map([[a.members.me, 2]]));
  cursors.delete(a.members.me);
  const [{ channel }] = await sql`select channel from whenthen.version`;
  assert.match(channel, /^whenthen_[0-9a-f]{32}$/, "nobody can guess it");
  await sql`select pg_notify(${channel}, ${`calls ${a.members.me} 1 ${
    pack(Buffer.from("first")).toString("base64")
  }`})`;
  const late = await exchange.receive(cursors, AbortSignal.timeout(1_000));
  assert.deepEqual(late, []);
});

Deno.test("a database that crashes loses no frame for those that follow", async () => {
  await using own = await DatabaseServer.start();
  const url = await own.create();
  await using decider = await replica(url);
  await using follower = await replica(url);
  const stop = new AbortController();
  const { texts, done, reach } = collect(follower.elsewhere.exchange.tail(0, stop.signal));
  await append(decider, 1, 5);
  await own.crash();
  await assert.rejects(append(decider, 6, 6));
  await own.resume();
  await until("the database", () => append(decider, 6, 6).then(() => true, () => false), (there) => there);
  await reach(6);
  stop.abort();
  await done;
  assert.deepEqual(texts, textsTo(6));
  // A batch is sent again, and is there once, whether the crash lost it or not.
  await follower.elsewhere.exchange.send(1, "call");
  await own.crash();
  await own.resume();
  const again = () => follower.elsewhere.exchange.send(1, "call").then(() => true, () => false);
  await until("the database", again, (there) => there);
  assert.deepEqual(await decider.elsewhere.exchange.rest(follower.members.me, 0), [
    { replica: follower.members.me, seq: 1, calls: "call" },
  ]);
});

Deno.test("frames that are gone, or were replaced in a restored database, are noticed", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using follower = await replica(url);
  const { signal } = new AbortController();
  await append(decider, 1, 9);
  await sql`delete from whenthen.log where seq <= 5`;
  await assert.rejects(collect(follower.elsewhere.exchange.tail(2, signal)).done, MissingFramesError);
  const { done, reach } = collect(follower.elsewhere.exchange.tail(6, signal));
  const gone = assert.rejects(done, MissingFramesError);
  await reach(3);
  // As if the database had lost its last frames, and others had been written instead.
  await sql`update whenthen.log set checksum = checksum + 1 where seq = 9`;
  await gone;
});

Deno.test("frames stay until every replica that is alive has applied them", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using slow = await replica(url);
  await using fast = await replica(url);
  await append(decider, 1, 10);
  // The files that frames are folded to are of no interest here.
  const fold = async () => {
    const { path, folder, elsewhere } = decider;
    const file = await folder.disk.create(`${path}/base-000000000008`).catch(() => undefined);
    await file?.close();
    await elsewhere.publish();
    return (await sql`select seq::int from whenthen.log order by seq`).map(({ seq }) => seq);
  };
  const told = (applied: number, count: number) =>
    until(
      "it to be told",
      () => decider.members.list(),
      (list) => list.filter((member) => member.applied === applied && !member.decides).length === count,
    );
  assert.equal((await fold()).length, 10, "they have not loaded anything yet");
  fast.elsewhere.exchange.applied(10);
  slow.elsewhere.exchange.applied(4);
  await told(4, 1);
  await told(10, 1);
  assert.deepEqual(await fold(), [4, 5, 6, 7, 8, 9, 10]);
  slow.elsewhere.exchange.applied(7);
  await told(7, 1);
  assert.deepEqual(await fold(), [7, 8, 9, 10]);
  await sql`update whenthen.replicas set fenced = true where id = ${slow.members.me}`;
  assert.deepEqual(await fold(), [9, 10], "folded up to frame 8");
});

Deno.test("for a replica that lives and applies nothing, only so many bytes of frames stay: it learns that it must begin anew", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using stuck = await deaf(url);
  const stop = new AbortController();
  const tail = stuck.exchange.tail(0, stop.signal)[Symbol.asyncIterator]();
  await append(decider, 1, 1, noise(1_000));
  await tail.next();
  for (let seq = 2; seq <= 10; seq++) await append(decider, seq, seq, noise(1_000));
  const direct = await connect(url);
  const files = new StoredFiles(direct, () => decider.lease!, 2_600);
  const fold = async (folded: number) => {
    await files.commit({ added: new Map(), removed: [], folded });
    return (await sql`select seq::int from whenthen.log order by seq`).map(({ seq }) => seq);
  };
  assert.deepEqual(await fold(5), [6, 7, 8, 9, 10], "what is not folded stays");
  assert.deepEqual(await fold(10), [8, 9, 10], "of some 775 bytes each");
  await assert.rejects(Promise.resolve(tail.next()), MissingFramesError);
  await direct.end();
});

Deno.test("a frame and calls that cannot be announced are there all the same", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using decider = await replica(url);
  await using follower = await replica(url);
  await sql`alter function pg_catalog.pg_notify(text, text) rename to pg_notify_gone`;
  await append(decider, 1, 3);
  const { reach } = collect(follower.elsewhere.exchange.tail(0, AbortSignal.timeout(60_000)));
  await reach(3);
  await follower.elsewhere.exchange.send(1, "call");
  const [{ calls }] = await decider.elsewhere.exchange.receive(NO_CURSORS, AbortSignal.timeout(60_000));
  assert.equal(calls, "call");
});

Deno.test("a database of version 1 gets the tables of this version, with all that is in it", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  {
    await using first = await replica(url);
    await append(first, 1, 3);
  }
  await sql.unsafe(`
    drop table whenthen.replicas, whenthen.inbox, whenthen.turns; drop index whenthen.files_path_idx;
    alter table whenthen.chunks drop packed; alter table whenthen.version drop channel; update whenthen.version set version = 1`);
  for (const seq of [1, 2, 3]) {
    await sql`update whenthen.log set frame = ${Buffer.from(encodeFrame(seq, `frame ${seq}`))} where seq = ${seq}`;
  }
  await Promise.all([1, 2].map(async () => await (await connect(url)).end()));
  await using again = await replica(url);
  const { texts, reach } = collect(again.elsewhere.exchange.tail(0, AbortSignal.timeout(60_000)));
  await reach(3);
  assert.deepEqual(texts, textsTo(3));
  assert.equal((await sql`select version from whenthen.version`)[0].version, 3);
});

Deno.test("a database of version 2: calls and files that were stored as they are, and look packed, are read", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  const packed = pack(Buffer.from("a file of the user"));
  await using old = await replica(url);
  await writeFile(join(old.path, "one.zst"), packed);
  await old.folder.disk.syncFile(join(old.path, "one.zst"));
  await sql.unsafe(`
    alter table whenthen.chunks drop packed; alter table whenthen.version drop channel; alter table whenthen.inbox alter calls type text using 'text';
    insert into whenthen.inbox values ('r1', 1, '["ä\\n"]'); update whenthen.version set version = 2`);
  await sql`update whenthen.chunks set bytes = ${packed}`;
  await using again = await replica(url);
  await assert.rejects(append(old, 1, 1), FolderLostError, "it would not understand what comes now");
  assert.equal((await again.elsewhere.exchange.rest("r1", 0))[0].calls, '["ä\\n"]');
  await again.folder.load();
  assert.deepEqual(await readFile(join(again.path, "one.zst")), packed);
});
