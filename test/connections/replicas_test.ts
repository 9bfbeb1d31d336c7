import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Begun } from "../../runtime/connections/attempts.ts";
import { HookSecrets } from "../../runtime/connections/hook_secrets.ts";
import { type StoredHook, Vault } from "../../runtime/connections/vault.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { type ConnectionsBench, newKey, openConnections, type Replica } from "./harness.ts";
import { SharedFolder } from "./shared_folder.ts";

/** Two replicas with the connection `asana`, which somebody has connected at the first one. */
async function twoReplicas(bench: ConnectionsBench): Promise<{ one: Replica; two: Replica; folder: SharedFolder }> {
  const folder = new SharedFolder();
  const [one, two] = [await bench.replica(folder.replica()), await bench.replica(folder.replica())];
  await connect(bench, one);
  return { one, two, folder };
}

async function connect({ server }: ConnectionsBench, { connections }: Replica): Promise<void> {
  const begun = await connections.begin("asana", { by: "anna" }, undefined) as Extract<Begun, { kind: "code" }>;
  await connections.callback(new URL(await server.allow(begun.url)).searchParams, undefined);
}

Deno.test("a connection that is made at one replica is used by the others, and masked there", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  assert.equal(two.connections.list()[0].state, "unconnected");
  await two.vault.followChanges();
  assert.equal(two.connections.list()[0].state, "connected");
  const token = await one.token();
  assert.equal(two.secrets.mask(`Bearer ${token}`), "Bearer ***");
  assert.equal(await two.token(), token);
});

Deno.test("a replica that has not heard of a connection yet looks before it refuses", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  assert.equal(await two.token(), await one.token());
});

Deno.test("an expired token is renewed by one replica, and the others take the new one", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  const first = await one.token();
  await two.vault.followChanges();
  bench.clock.jumpTo(bench.clock.now() + 3_590_000);
  const [renewed, ...others] = await Promise.all([one.token(), two.token(), two.token(first), one.token(first)]);
  assert.notEqual(renewed, first);
  assert.deepEqual(new Set(others), new Set([renewed]));
  assert.deepEqual(bench.server.grants, ["authorization_code", "refresh_token"]);
});

Deno.test("after 401 at two replicas a token is renewed once", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  const first = await one.token();
  await two.vault.followChanges();
  await bench.server.expire(first);
  const renewed = await one.token(first);
  // The other one has the old token still in memory.
  assert.equal(await two.token(first), renewed);
  assert.deepEqual(bench.server.grants, ["authorization_code", "refresh_token"]);
});

Deno.test("disconnecting at one replica takes the tokens from the others", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  await two.token();
  await two.connections.disconnect("asana", "anna");
  await one.vault.followChanges();
  assert.equal(one.connections.list()[0].state, "unconnected");
  await assert.rejects(one.token(), /nobody has connected it yet/);
});

Deno.test("changes of two replicas at the same time do not lose each other", async () => {
  await using bench = await openConnections();
  const { one, two, folder } = await twoReplicas(bench);
  const entry = { ...one.vault.get("asana")!, by: "ben" };
  await Promise.all([one.vault.put("one", entry), two.vault.put("two", entry)]);
  const third = await bench.replica(folder.replica());
  assert.deepEqual(third.vault.names().sort(), ["asana", "one", "two"]);
});

Deno.test("the secret of a handshake that one replica took verifies deliveries at the others", async () => {
  const path = await mkdtemp(join(tmpdir(), "whenthen-hooks-"));
  const folder = new SharedFolder();
  const clock = new ManualClock(Date.now());
  const key = newKey();
  const open = async () => {
    const hidden = new Map<string, string[]>();
    const vault = await Vault.open<StoredHook>(path, realDisk, () => {}, "hooks", folder.replica());
    const hide = (name: string, texts: string[]) => void hidden.set(name, texts);
    const secrets = new HookSecrets({ clock, vault, secretOf: () => key, hide, log() {} });
    await secrets.readKey();
    return { vault, secrets, hidden };
  };
  const hook = { rule: "tasks", trigger: "webhook /asana" };
  try {
    const [one, two] = [await open(), await open()];
    await one.secrets.open(hook, 60_000, "anna");
    // Whoever may not offer secrets costs no turn.
    const turns = folder.taken.length;
    assert.equal(await two.secrets.offer(hook, "a-secret-nobody-wants"), false);
    assert.equal(folder.taken.length, turns);
    await two.vault.followChanges();
    assert.equal(await two.secrets.offer(hook, "first-secret-of-asana"), true);
    await one.vault.followChanges();
    assert.deepEqual(one.secrets.of(hook), ["first-secret-of-asana"]);
    assert.ok([...one.hidden.values()].flat().includes("first-secret-of-asana"));
    assert.equal(await one.secrets.remove("tasks", "anna"), 1);
    await two.vault.followChanges();
    assert.deepEqual(two.secrets.of(hook), []);
  } finally {
    await rm(path, { recursive: true });
  }
});
