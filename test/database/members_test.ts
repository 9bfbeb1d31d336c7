import assert from "node:assert/strict";
import { hostname } from "node:os";
import { FolderLostError } from "../../runtime/host/lock.ts";
import { openDatabase } from "../../runtime/database/open_database.ts";
import { until } from "../e2e/until.ts";
import { Line } from "./line.ts";
import { connection, DatabaseServer, INFO, replica } from "./server.ts";

const server = await DatabaseServer.start();
server.endWithTests();

/** Adds a replica that gives no sign of life. */
const SILENT = "insert into whenthen.replicas values ('silent', 7, now(), 0, false, now(), $1)";

Deno.test("replicas are listed with what they tell of themselves; the first one decides, the others follow", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  assert.ok(first.lease && !second.lease);
  const list = await second.members.list();
  const ids = [first.members.me, second.members.me];
  assert.deepEqual(list.map(({ id, decides }) => ({ id, decides })), [
    { id: ids[0], decides: true },
    { id: ids[1], decides: false },
  ]);
  for (const member of list) {
    const { name, pid, version, address, rules, isAlive, behind, fenced } = member;
    assert.deepEqual({ name, pid, version, address, rules }, INFO);
    assert.deepEqual({ isAlive, behind, fenced }, { isAlive: true, behind: 0, fenced: false });
    assert.ok(Math.abs(member.startedAt - Date.now()) < 60_000);
  }
  assert.notEqual(first.path, second.path, "each has a folder of its own");
  assert.ok(
    Math.abs(second.members.clockOffset) < 1_000,
    `the server is on ${hostname()}: ${second.members.clockOffset}`,
  );
});

Deno.test("signs of life tell the last frame that was applied, and when they were sent", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  const before = second.members.lastBeat;
  second.elsewhere.exchange.applied(42);
  const look = () => first.members.list();
  await until("the frame to be told", look, (list) => list.some(({ applied }) => applied === 42));
  assert.ok(second.members.lastBeat > before && second.members.lastBeat < performance.now());
});

Deno.test("a silent replica is fenced, then retired until that succeeds; it learns that it is lost", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using way = await Line.to(url);
  await using second = await replica(way.url);
  const { me } = second.members;
  await second.elsewhere.exchange.send(1, "one");
  const dead: string[] = [];
  const watch = first.members.watch(async (id) => {
    dead.push(id);
    const [member] = (await first.members.list()).filter((member) => member.id === id);
    assert.ok(member.fenced && !member.isAlive, "it is fenced before");
    assert.deepEqual(await first.elsewhere.exchange.rest(id, 0), [{ replica: id, seq: 1, calls: "one" }]);
    if (dead.length < 3) throw new Error("not yet");
  });
  const since = performance.now();
  way.hold();
  const list = () => first.members.list();
  await until("it to be removed", list, (list) => list.length === 1);
  assert.ok(performance.now() - since > 2_900, "not earlier");
  await watch.stop();
  assert.deepEqual(dead, [me, me, me]);
  assert.deepEqual(await first.elsewhere.exchange.rest(me, 0), []);
  way.release();
  await until("it to learn that", () => Promise.resolve(second.lost), (lost) => lost !== undefined);
  assert.ok(second.lost instanceof FolderLostError);
  assert.match(
    second.lost.message,
    /This replica gave no sign of life for 3 s, so its runs went to others|not answered/,
  );
  await assert.rejects(second.elsewhere.exchange.send(2, "two"), FolderLostError);
});

Deno.test("one that gives signs of life again in time, or whose row somebody else removes, is not handed over", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using first = await replica(url);
  await sql.unsafe(SILENT, [JSON.stringify(INFO)]);
  const dead: string[] = [];
  const watch = first.members.watch((id) => Promise.resolve(void dead.push(id)));
  const since = performance.now();
  while (performance.now() - since < 4_500) await sql`update whenthen.replicas set beat = beat + 1 where id = 'silent'`;
  assert.deepEqual(dead, []);
  await until("its death", () => Promise.resolve(dead), (dead) => dead.length === 1);
  await watch.stop();
});

Deno.test("what a predecessor fenced, and what has ended orderly, is retired at once, with what it has sent", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using first = await replica(url);
  const second = await openDatabase(url, { info: INFO });
  await sql.unsafe(SILENT, [JSON.stringify(INFO)]);
  await sql`update whenthen.replicas set fenced = true where id = 'silent'`;
  await second.elsewhere.exchange.send(1, "last words");
  await second.close();
  const rest: string[] = [];
  const since = performance.now();
  const watch = first.members.watch(async (id) => {
    rest.push(...(await first.elsewhere.exchange.rest(id, 0)).map(({ calls }) => calls));
  });
  await until("both to be gone", () => first.members.list(), (list) => list.length === 1);
  assert.ok(performance.now() - since < 2_500, "it does not wait for signs of life");
  assert.deepEqual(rest, ["last words"]);
  await watch.stop();
});

Deno.test("the lease: handed over at once, else taken after 3 s; the one that had it is fenced together with that", async () => {
  const url = await server.create();
  const first = await replica(url);
  await using way = await Line.to(url);
  await using second = await replica(way.url);
  await using third = await replica(url);
  await first[Symbol.asyncDispose]();
  const lease = await second.decide(AbortSignal.timeout(60_000));
  assert.equal(second.lease, lease);
  const deciding = third.decide(AbortSignal.timeout(60_000));
  way.hold();
  await deciding;
  const list = await third.members.list();
  assert.deepEqual(list.map(({ id, fenced, decides }) => [id, fenced, decides]), [
    [first.members.me, true, false],
    [second.members.me, true, false],
    [third.members.me, false, true],
  ]);
  way.release();
  await until("it to learn that", () => Promise.resolve(second.lost), (lost) => lost !== undefined);
});

Deno.test("one that starts while the lease is free leaves it to those that answer requests already, unless they are gone", async () => {
  const url = await server.create();
  const first = await replica(url);
  await using older = await replica(url);
  await older.members.note({ address: "http://127.0.0.1:4664" });
  await first.close();
  {
    await using starting = await replica(url);
    assert.equal(starting.lease, undefined);
    await older.decide(AbortSignal.timeout(60_000));
  }
  await older.close();
  await using alone = await replica(url);
  assert.notEqual(alone.lease, undefined);
});

Deno.test("of those that wait for the lease one that answers requests comes before one that is only starting", async () => {
  const url = await server.create();
  for (let round = 0; round < 5; round++) {
    const first = await replica(url);
    await using starting = await replica(url);
    const answering = await replica(url);
    await answering.members.note({ address: "http://127.0.0.1:4664" });
    const signal = AbortSignal.timeout(60_000);
    const decided: string[] = [];
    const waiting = [starting, answering].map(async (one) => {
      await one.decide(signal);
      decided.push(one === starting ? "starting" : "answering");
    });
    await first.close();
    await waiting[1];
    await answering.close();
    await waiting[0];
    assert.deepEqual(decided, ["answering", "starting"]);
  }
});

Deno.test("a program that does not wait is told whether the one that decides is alive; waiting ends with its signal", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  assert.ok(first.lease);
  const onHeld = (isAlive: boolean) => {
    if (isAlive) throw new Error("in use");
  };
  await assert.rejects(second.decide(undefined, onHeld), /in use/);
  const waiting = new AbortController();
  const deciding = second.decide(waiting.signal);
  waiting.abort(new Error("enough"));
  await assert.rejects(deciding, /enough/);
  assert.equal(second.lease, undefined);
});

Deno.test("while the database cannot be reached nobody is dead, and everybody goes on after that", async () => {
  await using own = await DatabaseServer.start();
  const url = await own.create();
  await using first = await replica(url);
  await using second = await replica(url);
  const dead: string[] = [];
  const watch = first.members.watch((id) => Promise.resolve(void dead.push(id)));
  const waiting = new AbortController();
  const deciding = assert.rejects(second.decide(waiting.signal), /enough/);
  await own.crash();
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  await own.resume();
  const { lastBeat } = second.members;
  await until("a sign of life", () => Promise.resolve(second.members.lastBeat), (last) => last > lastBeat);
  waiting.abort(new Error("enough"));
  await deciding;
  await watch.stop();
  assert.deepEqual(dead, []);
  assert.equal(first.lost, undefined);
  assert.equal(second.lost, undefined);
});

Deno.test("a replica that is handing in a file is not fenced meanwhile, and keeps the one that decides from nothing", async () => {
  const url = await server.create();
  await using sql = await connection(url);
  await using first = await replica(url);
  await sql.unsafe(SILENT, [JSON.stringify(INFO)]);
  const dead: string[] = [];
  const watch = first.members.watch((id) => Promise.resolve(void dead.push(id)));
  await sql.begin(async (transaction) => {
    await transaction`select 1 from whenthen.replicas where id = 'silent' for share`;
    const end = performance.now() + 6_500;
    while (performance.now() < end) {
      assert.ok(performance.now() - first.members.lastBeat < 2_500, "its own signs of life go on");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.deepEqual(dead, []);
  });
  await until("its death", () => Promise.resolve(dead), (dead) => dead.length === 1);
  await watch.stop();
});

Deno.test("a database that does not answer keeps no program from ending", async () => {
  const url = await server.create();
  await using way = await Line.to(url);
  const first = await openDatabase(way.url, { info: INFO });
  assert.ok(first.lease);
  way.hold();
  const begun = performance.now();
  await first.close();
  assert.ok(performance.now() - begun < 10_000, `${performance.now() - begun} ms`);
});
