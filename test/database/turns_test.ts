import assert from "node:assert/strict";
import { connection, DatabaseServer, replica } from "./server.ts";
import { FolderLostError } from "../../runtime/host/lock.ts";
import { Vault } from "../../runtime/connections/vault.ts";
import type { SharedFiles } from "../../runtime/connections/vault.ts";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { until } from "../e2e/until.ts";

const server = await DatabaseServer.start();
server.endWithTests();

Deno.test("turns of one name are taken one after the other, by replicas and within one; others are not waited for", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  const seen: string[] = [];
  const work = (name: string) => async () => {
    seen.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    seen.push(`${name} ends`);
    return name;
  };
  const turns = [first, first, second, second].map(({ turns }, index) => turns.inTurn("token", work(String(index))));
  assert.equal(await second.turns.inTurn("another", () => Promise.resolve("at once")), "at once");
  assert.deepEqual(await Promise.all(turns), ["0", "1", "2", "3"]);
  const taken = seen.map((line) => line.split(" ")[0]);
  for (let index = 0; index < seen.length; index += 2) assert.equal(taken[index], taken[index + 1], seen.join(", "));
});

Deno.test("work that fails gives its turn back", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  await assert.rejects(first.turns.inTurn("token", () => Promise.reject(new Error("no answer"))), /no answer/);
  assert.equal(await second.turns.inTurn("token", () => Promise.resolve(1)), 1);
  await using sql = await connection(url);
  const held = () => sql.unsafe("select holder from whenthen.turns");
  await until("the turn to be given back", held, (rows) => rows.length === 0);
});

Deno.test("the turn of a replica that was declared dead is free, and that replica gets no other one", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  await using sql = await connection(url);
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const left = second.turns.inTurn("token", async () => {
    begun.resolve();
    await end.promise;
  });
  await begun.promise;
  await sql.unsafe("update whenthen.replicas set fenced = true where id = $1", [second.members.me]);
  assert.equal(await first.turns.inTurn("token", () => Promise.resolve("taken over")), "taken over");
  await assert.rejects(second.turns.inTurn("other", () => Promise.resolve()), FolderLostError);
  end.resolve();
  await left;
});

Deno.test("entries of a vault that two replicas change at once are all kept, in a database", async () => {
  const url = await server.create();
  await using first = await replica(url);
  await using second = await replica(url);
  await Promise.all([first.folder.load(), second.folder.load()]);
  const open = ({ path, folder, turns }: OpenDatabase) => {
    const shared: SharedFiles = {
      inTurn: (name, work) => turns.inTurn(name, work),
      refresh: (file) => folder.refresh(file),
      announce: () => Promise.resolve(),
      announced: () => Promise.resolve(undefined),
    };
    return Vault.open<string>(path, folder.disk, (message) => assert.fail(message), "connections", shared);
  };
  const [one, two] = await Promise.all([open(first), open(second)]);
  const puts = Array.from({ length: 6 }, (_, index) => [one, two][index % 2].put(`entry${index}`, "sealed"));
  await Promise.all(puts);
  await Promise.all([one, two].map((vault) => vault.alone("", () => Promise.resolve())));
  const all = Array.from({ length: 6 }, (_, index) => `entry${index}`);
  for (const vault of [one, two]) assert.deepEqual(vault.names().sort(), all);
});
