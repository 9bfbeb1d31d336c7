import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import postgres from "postgres";
import { localFolderOf } from "../../runtime/database/connection.ts";
import { unpack } from "../../runtime/database/packing.ts";
import { readFrame } from "../../runtime/store/log/log_frame.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { type Answered, type Program, start, whenthen } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { Line } from "./line.ts";
import { DatabaseServer, freePort } from "./server.ts";

const RULES = {
  "order.yaml": `
when: { webhook: /order, auth: none, dedupe: event.data.id }
limit: none
then:
  - { id: note, run: [echo, "\${{ event.data.id }}"], save: note.tmp }
  - waitFor: paid
    match: { data.id: event.data.id }
    id: paid
  - { id: read, run: [cat, "\${{ steps.note.stdout.path }}"] }
`,
  "line.yaml": "when: { webhook: /line, auth: none, dedupe: event.data.id }\nthen: [{ log: seen }]\n",
};

/** A rules folder and a database for it. */
async function places(server: DatabaseServer) {
  const folder = await rulesFolder(RULES);
  return {
    rules: folder.rules,
    data: await server.create(),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function order(program: Program, id: number): Promise<string> {
  const { status, body } = await program.post("/hooks/order", { id });
  assert.ok(status === 202 || status === 200, JSON.stringify(body));
  return body.runs[0];
}

function runOf(program: Program, id: string, state: string): Promise<Answered> {
  return until(`run ${id} to be ${state}`, () => program.api(`runs/${id}`), ({ run }) => run?.state === state);
}

Deno.test("a second program on the same machine takes over when the first one is killed, with all runs, files and keys", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  await using first = start(place.rules, place);
  const run = await order(first, 1);
  await runOf(first, run, "waiting");
  await using second = start(place.rules, place);
  await runOf(second, run, "waiting");
  await first.kill();
  // The disk of a dyno does not last either.
  await rm(localFolderOf(place.data), { recursive: true });
  assert.equal(await order(second, 1), run, "the event is known");
  const { status } = await second.post("/api/emit", { type: "paid", data: { id: 1 } });
  assert.equal(status, 200);
  const { steps } = await runOf(second, run, "succeeded");
  const { output } = steps.find(({ path }: { path: string }) => path === "read");
  assert.equal(output.json ?? Number(output.stdout), 1, "the file that the first program saved is there");
  assert.equal(await second.stop(), 0);
});

Deno.test("an event whose run only logs is one row of the database's log, with its run", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  await using program = start(place.rules, place);
  for (const id of ["first-order", "second-order"]) {
    const { body: { runs: [run] } } = await program.post("/hooks/line", { id });
    await runOf(program, run, "succeeded");
  }
  const sql = postgres(place.data, { max: 1 });
  const rows = await sql.unsafe("select frame from whenthen.log order by seq");
  await sql.end();
  // The first run has the version of its rule read.
  const frames = rows.map(({ frame }) => readFrame(unpack(frame), 0)!.payload.toString())
    .filter((text) => text.includes("second-order"));
  assert.deepEqual(frames.map((text) => /^\+run\t/m.test(text)), [true], frames.join("\n\n"));
  assert.equal(await program.stop(), 0);
});

Deno.test("a crash of the database: events are refused meanwhile, and none is lost or doubled", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  await using program = start(place.rules, place);
  const runs = new Map<number, string>();
  for (let id = 0; id < 5; id++) runs.set(id, await order(program, id));
  await using other = start(place.rules, place);
  await other.url();
  await server.crash();
  const answers = [program, other].map((asked) => asked.post("/hooks/order", { id: 5 }));
  await program.waitForMessage("Cannot write to the database postgres://");
  assert.equal((await program.post("/hooks/order", { id: 6 })).status, 503);
  assert.equal((await program.fetch("/readyz")).status, 503);
  await server.resume();
  // They are refused, or have waited for the database.
  for (const { status } of await Promise.all(answers)) assert.ok([200, 202, 503].includes(status), String(status));
  await program.waitForMessage("accepts writes again");
  for (let id = 0; id < 5; id++) assert.equal(await order(program, id), runs.get(id));
  for (const id of [5, 6]) assert.equal(await order(program, id), await order(other, id));
  assert.equal((await program.api("events?limit=100")).length, 7);
  assert.equal(await program.stop(), 0);
  assert.equal(await order(other, 6), await order(other, 6));
});

Deno.test("a database that answers no more: the program begins anew, and goes on when there are answers", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  await using line = await Line.to(place.data);
  await using program = start(place.rules, { data: line.url, args: ["--port", String(await freePort())] });
  const run = await order(program, 1);
  line.hold();
  const unanswered = program.post("/hooks/order", { id: 2 }).catch(() => undefined);
  await program.waitForMessage("The database has not answered for 10 s");
  await unanswered;
  line.release();
  const again = () => program.post("/hooks/order", { id: 1 }).catch(() => ({ status: 0, body: undefined }));
  const { body } = await until("the program to begin anew", again, ({ status }) => status === 200);
  assert.deepEqual(body.runs, [run]);
  assert.equal(await program.stop(), 0);
});

Deno.test("commands reach the program on their machine; elsewhere they are replicas for a moment", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  await using program = start(place.rules, place);
  const run = await order(program, 1);
  const listed = await whenthen(["runs", "--json", "--data", place.data]);
  assert.deepEqual(JSON.parse(listed.stdout).map(({ id }: { id: string }) => id), [run], listed.stderr);
  const there = { env: { XDG_CACHE_HOME: place.rules } };
  const unnamed = await whenthen(["runs", "--data", place.data], there);
  assert.equal(unnamed.code, 64, unnamed.stderr);
  assert.match(unnamed.stderr, /name their folder with --folder/);
  const elsewhere = ["--json", "--folder", place.rules, "--data", place.data];
  const known = await whenthen(["runs", ...elsewhere], there);
  assert.deepEqual(JSON.parse(known.stdout).map(({ id }: { id: string }) => id), [run], known.stderr);
  const cancelled = await whenthen(["cancel", run, ...elsewhere], there);
  assert.equal(cancelled.code, 0, cancelled.stderr);
  await runOf(program, run, "cancelled");
  assert.equal(await program.stop(), 0);
  const after = await whenthen(["show", run, "--json", "--data", place.data]);
  assert.equal(JSON.parse(after.stdout).run.id, run, after.stderr);
});

Deno.test("move-data copies a folder to a database and back: runs go on there, with their files", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  const folder = `${place.rules}-data`;
  const back = `${place.rules}-back`;
  const move = async (from: string, to: string) => {
    const { code, stdout, stderr } = await whenthen(["move-data", from, to]);
    return { code, said: stdout + stderr };
  };
  let run: string;
  {
    await using program = start(place.rules, { data: folder });
    run = await order(program, 1);
    await runOf(program, run, "waiting");
    assert.match((await move(folder, place.data)).said, /Cannot move the data folder .*-data: a whenthen works on it/);
    await program.stop();
  }
  assert.match((await move(place.rules, place.data)).said, /it is not a data folder of whenthen/);
  assert.match((await move(folder, back)).said, /one of the two places must be a folder, the other one a database/);
  assert.match((await move(place.data, back)).said, /it has no state/);
  const moved = await move(folder, place.data);
  assert.match(moved.said, /^Copied \d+ files, \d+ bytes\. Start on it by: whenthen run --data postgres:/);
  assert.match((await move(folder, place.data)).said, /it has state already/);
  {
    await using program = start(place.rules, place);
    assert.equal(await order(program, 1), run, "the event is known");
    assert.match((await move(place.data, back)).said, /Cannot move the database .*: a whenthen works on it/);
    await program.stop();
  }
  assert.equal((await move(place.data, back)).code, 0);
  await using program = start(place.rules, { data: back });
  assert.equal(await order(program, 1), run, "the event is known");
  await program.post("/api/emit", { type: "paid", data: { id: 1 } });
  // The path that was recorded names the first folder, which is still there.
  await runOf(program, run, "succeeded");
});

Deno.test("a database that cannot be used is refused with its reason, without its password", async () => {
  await using server = await DatabaseServer.start();
  await using place = await places(server);
  const url = new URL(place.data);
  url.password = "hunter2";
  url.port = "1";
  const absent = await whenthen(["run", place.rules, "--data", url.href]);
  assert.equal(absent.code, 64);
  assert.match(absent.stderr, /Cannot open the database postgres:\/\/whenthen@127\.0\.0\.1:1\/test1: .*ECONNREFUSED/);
  assert.doesNotMatch(absent.stdout + absent.stderr, /hunter2/);
  const sql = postgres(place.data, { max: 1, onnotice: () => {} });
  await sql.unsafe(
    "create schema whenthen; create table whenthen.version (version int); insert into whenthen.version values (9)",
  );
  await sql.end();
  const newer = await whenthen(["run", place.rules, "--data", place.data]);
  assert.equal(newer.code, 64);
  assert.match(newer.stderr, /a newer version of whenthen wrote it \(tables of version 9/);
});
