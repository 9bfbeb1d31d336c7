import assert from "node:assert/strict";
import { until } from "../e2e/until.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { connection, DatabaseServer } from "./server.ts";

const settings = (bytes: string) => `retention: { bytes: ${bytes} }\n`;

Deno.test("uploads have a bound over all replicas: what exceeds it is refused by each of them, and leaves nothing", async () => {
  await using server = await DatabaseServer.start();
  const url = await server.create();
  await using replicas = await Replicas.start(url, {
    "whenthen.yaml": settings("20MB"),
    "in.yaml": "when: { webhook: /in, auth: none, maxBody: 10MB }\nlimit: none\nthen: [{ log: seen }]\n",
  }, { count: 2 });
  await using sql = await connection(url);
  const upload = async ({ program }: Replica, megabytes: number) => {
    const form = new FormData();
    // What is packed is smaller: the bound is one of the files themselves.
    form.set("file", new Blob([new Uint8Array(megabytes * 1_000_000)]), "zeros");
    const response = await program.fetch("/hooks/in", { method: "POST", body: form });
    return { status: response.status, retryAfter: response.headers.get("retry-after"), text: await response.text() };
  };
  const stored = async () => {
    const [{ files, bytes }] = await sql`
      select count(*)::int as files, sum(bytes)::int as bytes from whenthen.files where path like 'files/.uploads/%/zeros'`;
    return { files, bytes };
  };
  const [one, two] = replicas.all;
  for (const [replica, megabytes] of [[one, 9], [two, 8]] as const) {
    assert.equal((await upload(replica, megabytes)).status, 202);
  }
  const full = { files: 2, bytes: 17_000_000 };
  assert.deepEqual(await stored(), full);
  for (const replica of [one, two]) {
    const { status, retryAfter, text } = await upload(replica, 4);
    assert.deepEqual([status, retryAfter], [503, "60"]);
    const sentence = "Cannot save uploaded files: the database has 17 MB of them, and at most 20 MB are kept";
    assert.ok(text.includes(sentence), text);
  }
  assert.deepEqual(await stored(), full);
  const [{ unlisted }] = await sql`
    select count(*)::int as unlisted from whenthen.chunks c
    where not exists (select from whenthen.files f where f.blob = c.blob)`;
  assert.equal(unlisted, 0);
  // Without files, events are accepted; with smaller ones, too.
  assert.equal((await two.post("/hooks/in", { id: 1 })).status, 202);
  assert.equal((await upload(one, 2)).status, 202);
  assert.equal((await upload(two, 2)).status, 503);
  await replicas.write("whenthen.yaml", settings("30MB"));
  const again = () => upload(two, 4);
  await until("the new bound to be in force", again, ({ status }) => status === 202);
});
