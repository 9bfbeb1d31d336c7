import assert from "node:assert/strict";
import { openConnections } from "../../runtime/database/connection.ts";
import { codeOf } from "../../runtime/model/errors.ts";
import { between, pause } from "../e2e/torture/size.ts";
import { within } from "../e2e/until.ts";
import { Line } from "./line.ts";
import { connection, DatabaseServer } from "./server.ts";

const server = await DatabaseServer.start();
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

/** Milliseconds within which a statement is answered or fails when its connection breaks, on a busy machine. */
const ANSWERED = 3_000;

Deno.test("connections that break again and again, also while they begin: each statement is answered or fails soon", async () => {
  await using line = await Line.to(await server.create());
  const sql = await openConnections(line.url, { max: 2 });
  const end = performance.now() + 8_000;
  let [answered, failed] = [0, 0];
  const ask = async (_: unknown, number: number) => {
    while (performance.now() < end) {
      // The library writes short statements later than long ones.
      const text = "x".repeat(between(0, 1) * 3_000);
      const asking = number % 2 === 0 ? sql.unsafe("select 1") : sql.unsafe("select length($1::text)", [text]);
      const isAnswered = await within(ANSWERED, "an answer, or an error", asking.then(() => true, () => false));
      if (isAnswered) answered++;
      else failed++;
      await pause(between(0, 3));
    }
  };
  const breaking = async () => {
    while (performance.now() < end) {
      await pause(between(0, 60));
      line.interrupt();
    }
  };
  await Promise.all([...Array.from({ length: 4 }, ask), breaking()]);
  assert.ok(answered > 50 && failed > 20, `${answered} answered, ${failed} failed`);
  await sql.end({ timeout: 1 });
  assert.equal(line.connections, 0);
});

Deno.test("a transaction whose connection breaks: nothing of it takes effect, also not what it does later", async () => {
  const url = await server.create();
  await using line = await Line.to(url);
  await using direct = await connection(url);
  await direct`create table seen (step text)`;
  const sql = await openConnections(line.url, { max: 1 });
  const insert = (step: string) => `insert into seen values ('${step}')`;
  const later: string[] = [];
  await assert.rejects(sql.begin(async (transaction) => {
    await transaction.unsafe(insert("before"));
    line.interrupt();
    for (const step of ["one", "two", "three"]) {
      await transaction.unsafe(insert(step)).then(() => later.push(step), () => {});
      await pause(20);
    }
  }));
  assert.deepEqual(later, []);
  assert.deepEqual([...await direct`select * from seen`], []);
  await sql.begin((transaction) => transaction.unsafe(insert("again")));
  assert.deepEqual([...await direct`select step from seen`], [{ step: "again" }]);
  await sql.end();
});

Deno.test("a transaction of which a statement fails is rolled back, also if its work does not mind; its connection remains", async () => {
  await using line = await Line.to(await server.create());
  const sql = await openConnections(line.url, { max: 1 });
  await sql.unsafe("create table seen (step text)");
  const tolerant = sql.begin(async (transaction) => {
    await transaction.unsafe("insert into seen values ('one')");
    await transaction.unsafe("select wrong").catch(() => {});
  });
  await assert.rejects(tolerant, /The transaction was rolled back, as one of its statements failed/);
  const strict = sql.begin(async (transaction) => {
    await transaction.unsafe("insert into seen values ('two')");
    throw new Error("own");
  });
  await assert.rejects(strict, /own/);
  assert.deepEqual([...await sql.unsafe("select * from seen")], []);
  assert.equal(line.connections, 1);
  await sql.end();
});

Deno.test("when connections are ended, what is under way and what waits fails, and so does all that is asked later", async () => {
  const sql = await openConnections(await server.create(), { max: 1 });
  await sql.unsafe("select 1");
  const asked = [sql.unsafe("select pg_sleep(60)"), sql.unsafe("select 2")];
  const settled = Promise.all(asked.map((asking) => asking.then(() => "answered", codeOf)));
  await sql.end({ timeout: 0 });
  assert.deepEqual(await within(5_000, "errors", settled), ["CONNECTION_DESTROYED", "CONNECTION_ENDED"]);
  await assert.rejects(sql.unsafe("select 3"), { code: "CONNECTION_ENDED" });
});

Deno.test("a server that cannot be reached is an error, each time, and then it is found again", async () => {
  await using line = await Line.to(await server.create());
  const sql = await openConnections(line.url, { max: 1 });
  line.cut();
  for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(sql.unsafe("select 1"), { code: "ECONNREFUSED" });
  await line.mend();
  assert.equal((await sql.unsafe("select 1")).length, 1);
  await sql.end();
});
