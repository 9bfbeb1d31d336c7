import assert from "node:assert/strict";
import postgres from "postgres";
import { isLong, pause, size } from "../e2e/torture/size.ts";
import { until, within } from "../e2e/until.ts";
import { Replicas } from "./replicas.ts";
import { Senders } from "./senders.ts";
import { DatabaseServer } from "./server.ts";

/** Seconds of events, and of the beginning in which tables may grow to their size. */
const SECONDS = size(8, 8 * 3_600);
const BEGINNING = size(4, 1_800);

/** Tables of which rows come and go; history and identities grow with what happens. */
const PASSING = ["inbox", "log", "replicas", "lease"];

/** The most rows that each may have at a time. */
const MOST_ROWS: Record<string, number> = { inbox: 300, log: 20_000, replicas: 3, lease: 1 };

Deno.test("events for long on three replicas: what passes through the database does not stay there", async () => {
  await using server = await DatabaseServer.start();
  const url = await server.create();
  await using replicas = await Replicas.start(url, {
    "in.yaml":
      "when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\nthen: [{ log: seen }, { log: more }]\n",
    "whenthen.yaml": "retention: { bytes: 200MB, identities: 10m }\n",
  });
  const sql = postgres(url, { max: 1 });
  try {
    using senders = new Senders(replicas, { path: "/hooks/in", runs: 1, count: 8, rest: 5 });
    await pause(BEGINNING * 1_000);
    const first = await sizesOf(sql);
    const most = { ...first };
    let events = 0;
    for (let second = BEGINNING; second < SECONDS; second += 2) {
      await pause(2_000);
      for (const table of PASSING) {
        const [{ count }] = await sql.unsafe(`select count(*)::int as count from whenthen.${table}`);
        assert.ok(count <= MOST_ROWS[table], `${table} has ${count} rows`);
      }
      for (const [table, bytes] of Object.entries(await sizesOf(sql))) most[table] = Math.max(most[table], bytes);
      // Hours of log lines exceed the maximum length of a string.
      for (const { program } of replicas.all) program.forget();
      events += senders.forget();
    }
    await within(60_000, "all answers", senders.end());
    console.log(`${events + senders.forget()} events`, first, "at most", most);
    // Space is used again once PostgreSQL has cleaned up, which it does each minute: a few seconds show nothing.
    for (const table of isLong ? PASSING : []) {
      assert.ok(
        most[table] < first[table] * 3 + 8e6,
        `${table} has grown from ${first[table]} to ${most[table]} bytes`,
      );
    }
    const rows = async () => (await sql.unsafe("select count(*)::int as count from whenthen.inbox"))[0].count as number;
    await until("an empty inbox", rows, (count) => count === 0);
  } finally {
    await sql.end();
  }
});

/** Bytes of each table with its indexes. */
async function sizesOf(sql: postgres.Sql): Promise<Record<string, number>> {
  const rows = await sql.unsafe(
    "select relname, pg_total_relation_size(oid)::text as bytes from pg_class where relkind = 'r' and relnamespace = 'whenthen'::regnamespace",
  );
  return Object.fromEntries(rows.map(({ relname, bytes }) => [relname, Number(bytes)]));
}
