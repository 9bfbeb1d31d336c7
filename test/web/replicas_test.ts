import assert from "node:assert/strict";
import type { Member } from "../../runtime/database/members.ts";
import { ANNA, OPERATOR, Visitor } from "./console/visitor.ts";
import { type Bench, NOW, openBench } from "./harness.ts";
import { member } from "./members.ts";

const MEMBERS = [
  member(4, { isAlive: false, fenced: true }),
  member(3, { isAlive: false, behind: 4_321, address: null }),
  member(2, { decides: true }),
  member(1, { behind: 12 }),
];

/** One of them, with the list that it gets of the database. */
function openReplica(list: () => Promise<Member[]> = () => Promise.resolve(MEMBERS)): Promise<Bench> {
  return openBench([], { replicas: { me: "replica1", list } });
}

const failing = () => Promise.reject(new Error("connect ECONNREFUSED 192.0.2.9:5432"));
const silent = () => new Promise<never>(() => {});

Deno.test("GET /api/replicas: who there is, with the role and the state of each", async () => {
  await using bench = await openReplica();
  const { status, body } = await bench.ask("GET", "/api/replicas");
  assert.equal(status, 200);
  const shown = body.map(({ id, decides, state, behind }: Record<string, unknown>) => [id, decides, state, behind]);
  assert.deepEqual(shown, [
    ["replica4", false, "fenced", 0],
    ["replica3", false, "silent", 4_321],
    ["replica2", true, "alive", 0],
    ["replica1", false, "alive", 12],
  ]);
  assert.deepEqual(body[2], {
    id: "replica2",
    host: "web-2.internal.example.org",
    pid: 4_002,
    version: "1.2.3",
    startedAt: NOW - 120_000,
    address: "http://192.0.2.2:8080",
    decides: true,
    state: "alive",
    rules: "1a2b3c4d",
    behind: 0,
  });
});

Deno.test("GET /api/replicas: none over a data folder; 503 with the reason if the database fails, or is silent for 2 s", async () => {
  await using embedded = await openBench([]);
  assert.deepEqual((await embedded.ask("GET", "/api/replicas")).body, []);
  for (const [list, reason] of [[failing, /connect ECONNREFUSED/], [silent, /has not answered for 2 s/]] as const) {
    await using bench = await openReplica(list);
    const { status, body, headers } = await bench.ask("GET", "/api/replicas");
    assert.deepEqual([status, headers.get("retry-after")], [503, "5"]);
    assert.match(body.error, reason);
    assert.deepEqual(bench.errors, []);
  }
});

Deno.test("/replicas: the table, with the program that answers; its link is there only over a database", async () => {
  await using bench = await openReplica();
  bench.people.push(structuredClone(OPERATOR), structuredClone(ANNA));
  const olga = new Visitor(bench);
  await olga.signIn("olga");
  const { status, text } = await olga.get("/replicas");
  assert.equal(status, 200);
  const rows = [...text.matchAll(/<tr>(<td[^]*?)<\/tr>/g)].map(([, row]) => row);
  assert.equal(rows.length, 4);
  assert.match(rows[2], /alive[^]*decides[^]*web-2\.internal\.example\.org 4002/);
  assert.match(rows[3], /alive[^]*follows[^]*4001 <b>this one<\/b>[^]*>12 frames<\/td>/);
  assert.match(rows[1], /silent[^]*no address[^]*>4,321 frames<\/td>/);
  assert.equal(text.match(/this one/g)!.length, 1);
  const help = (await olga.get("/help")).text;
  for (const [, name] of text.matchAll(/href="\/help#([^"]+)"/g)) assert.ok(help.includes(`id="${name}"`), name);
  assert.equal(text.match(/<a href="\/replicas"/g)!.length, 2, "in the head, and at the foot of a phone");
  const anna = new Visitor(bench);
  await anna.signIn("anna");
  assert.equal((await anna.get("/replicas")).status, 403);

  await using embedded = await openBench([]);
  const visitor = new Visitor(embedded);
  const alone = await visitor.get("/replicas");
  assert.deepEqual([alone.status, /a data folder, which has one program/.test(alone.text)], [200, true]);
  assert.doesNotMatch(alone.text, /href="\/replicas"/);
});

Deno.test("/replicas says why there is no list if the database fails", async () => {
  await using bench = await openReplica(failing);
  const { status, text } = await new Visitor(bench).get("/replicas");
  assert.equal(status, 200);
  assert.match(text, /class="error">Cannot list the replicas: [^<]*ECONNREFUSED/);
});

Deno.test("metrics of replicas: states of all, role and distance of the own one; one query for a scrape", async () => {
  let queries = 0;
  let list = () => Promise.resolve(MEMBERS);
  await using bench = await openReplica(() => {
    queries++;
    return list();
  });
  const scrape = async () => {
    const { body } = await bench.ask("GET", "/metrics");
    return (body as string).split("\n").filter((line) => /^whenthen_replica/.test(line));
  };
  const whole = [
    'whenthen_replicas{state="alive"} 2',
    'whenthen_replicas{state="silent"} 1',
    'whenthen_replicas{state="fenced"} 1',
    "whenthen_replica_decides 0",
    "whenthen_replica_behind_frames 12",
  ];
  assert.deepEqual(await scrape(), whole);
  assert.equal(queries, 1);
  list = failing;
  assert.deepEqual(await scrape(), [], "no zeros, which would say that all is well");
  list = () => Promise.resolve([member(1, { decides: true })]);
  assert.deepEqual((await scrape()).slice(-2), ["whenthen_replica_decides 1", "whenthen_replica_behind_frames 0"]);

  await using embedded = await openBench([]);
  assert.doesNotMatch((await embedded.ask("GET", "/metrics")).body, /whenthen_replica/);
});
