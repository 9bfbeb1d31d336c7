import assert from "node:assert/strict";
import { openConnections } from "../../runtime/database/connection.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { start } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { DatabaseServer } from "./server.ts";

/** Whether connections with these parameters of the URL are encrypted. */
async function isEncrypted(url: string): Promise<boolean> {
  const sql = await openConnections(url, { max: 1 });
  try {
    const [{ ssl }] = await sql.unsafe("select ssl from pg_stat_ssl where pid = pg_backend_pid()");
    return ssl;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

Deno.test("connections are encrypted as sslmode says; a certificate that nobody signed is accepted, as Heroku has one, unless it is to be verified", async () => {
  await using server = await DatabaseServer.start();
  const url = await server.create();
  await server.encrypt();
  await until("TLS", () => isEncrypted(`${url}?sslmode=prefer`), (is) => is);
  assert.equal(await isEncrypted(`${url}?sslmode=require`), true);
  assert.equal(await isEncrypted(`${url}?sslmode=disable`), false);
  assert.equal(await isEncrypted(url), false, "on this machine");
  await assert.rejects(isEncrypted(`${url}?sslmode=verify-full`), /self.signed certificate/);
});

Deno.test("a program over an encrypted line takes events", async () => {
  await using server = await DatabaseServer.start();
  const url = await server.create();
  await server.encrypt();
  await using folder = await rulesFolder({ "in.yaml": "when: { webhook: /in, auth: none }\nthen: [{ log: seen }]\n" });
  await using program = start(folder.rules, { data: `${url}?sslmode=require` });
  await program.url();
  assert.equal((await program.fetch("/hooks/in", { method: "POST", body: "{}" })).status, 202);
  const sql = await openConnections(url, { max: 1 });
  const rows = await sql.unsafe(
    "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'whenthen' " +
      "and pid <> pg_backend_pid()",
  );
  await sql.end({ timeout: 1 });
  assert.deepEqual(rows.map(({ ssl }) => ssl), [true]);
  assert.equal(await program.stop(), 0);
});
