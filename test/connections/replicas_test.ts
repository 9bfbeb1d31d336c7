import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Begun } from "../../runtime/connections/attempts.ts";
import { HookSecrets } from "../../runtime/connections/hook_secrets.ts";
import { type StoredHook, Vault } from "../../runtime/connections/vault.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import {
  advanceUntil,
  asana,
  type ConnectionsBench,
  duringExchange,
  newKey,
  openConnections,
  type Replica,
} from "./harness.ts";
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

/** Begins at a replica. @returns the attempt, and what the browser of the person brings back */
async function begin({ server }: ConnectionsBench, { connections }: Replica, browser?: string) {
  const begun = await connections.begin("asana", { by: "anna", browser }, undefined) as Extract<
    Begun,
    { kind: "code" }
  >;
  return { id: begun.attempt, answer: new URL(await server.allow(begun.url)).searchParams };
}

Deno.test("an attempt that began at one replica is completed at another one, once, and both know it", async () => {
  await using bench = await openConnections();
  const folder = new SharedFolder();
  const [one, two] = [await bench.replica(folder.replica()), await bench.replica(folder.replica())];
  const { id, answer } = await begin(bench, one);
  // Neither has heard of it: both look before they refuse.
  assert.deepEqual(await two.connections.attempt(id), { connection: "asana", state: "waiting" });
  await two.connections.callback(answer, undefined);
  await one.attempts.followChanges();
  assert.equal((await one.connections.attempt(id))!.state, "connected");
  const [listed] = two.connections.list();
  assert.deepEqual([listed.state, listed.by], ["connected", "anna"]);
  // The server may revoke the tokens if it gets a code again: no replica sends it there.
  for (const { connections } of [one, two]) {
    await assert.rejects(connections.callback(answer, undefined), /was used before/);
    await assert.rejects(connections.paste(id, answer.get("code")!), /was used before/);
  }
  assert.deepEqual(bench.server.grants, ["authorization_code"]);
  assert.equal(await one.token(), await two.token());
});

Deno.test("the same answer at two replicas at once is exchanged once", async () => {
  await using bench = await openConnections();
  const folder = new SharedFolder();
  const replicas = [await bench.replica(folder.replica()), await bench.replica(folder.replica())];
  const { answer } = await begin(bench, replicas[0]);
  const both = await Promise.allSettled(replicas.map(({ connections }) => connections.callback(answer, undefined)));
  assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.deepEqual(bench.server.grants, ["authorization_code"]);
});

Deno.test("another replica is as strict: another browser, a changed state, ten minutes, other settings", async () => {
  await using bench = await openConnections();
  const folder = new SharedFolder();
  const [one, two] = [await bench.replica(folder.replica()), await bench.replica(folder.replica())];
  const { answer } = await begin(bench, one, "one browser");
  await assert.rejects(two.connections.callback(answer, "another"), /Another browser/);
  await assert.rejects(two.connections.callback(answer, undefined), /Another browser/);
  const state = answer.get("state")!;
  const changed = [
    `${state.slice(0, -1)}${state.endsWith("A") ? "E" : "A"}`,
    state.slice(0, -4),
    "x",
    "",
    (await begin(bench, one)).id,
  ];
  const turns = folder.taken.length;
  for (const each of changed) {
    const forged = new URLSearchParams(answer);
    forged.set("state", each);
    await assert.rejects(two.connections.callback(forged, "one browser"), /Nobody waits/, each);
  }
  assert.equal(folder.taken.length, turns, "whoever invents a state costs no turn");
  const swapped = new URLSearchParams((await begin(bench, one)).answer);
  swapped.set("code", answer.get("code")!);
  await assert.rejects(two.connections.callback(swapped, undefined), /invalid_grant/, "the code of another attempt");
  await two.connections.set([asana(bench.server, { scopes: ["tasks", "more"] })]);
  await assert.rejects(two.connections.callback(answer, "one browser"), /its server, client or scopes .* have changed/);
  const late = await begin(bench, one);
  bench.clock.jumpTo(bench.clock.now() + 600_000);
  await assert.rejects(two.connections.callback(late.answer, undefined), /older than 10 minutes/);
  assert.deepEqual(bench.server.grants, []);
});

Deno.test("a code is pasted at another replica, and a device is seen to be connected there", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  const { id, answer } = await begin(bench, one);
  await two.connections.paste(id, answer.get("code")!);
  await one.attempts.followChanges();
  assert.equal((await one.connections.attempt(id))!.state, "connected");
  const begun = await one.connections.begin("asana", { by: "anna" }, "device") as Extract<Begun, { kind: "device" }>;
  await bench.server.allowDevice(begun.complete!);
  await advanceUntil(bench.clock, async () => {
    await two.attempts.followChanges();
    return (await two.connections.attempt(begun.attempt))!.state === "connected";
  });
});

Deno.test("disconnecting at one replica ends the attempts of the others", async () => {
  await using bench = await openConnections();
  const { one, two } = await twoReplicas(bench);
  const { answer } = await begin(bench, one);
  const device = await one.connections.begin("asana", { by: "anna" }, "device") as Extract<Begun, { kind: "device" }>;
  await bench.server.allowDevice(device.complete!);
  await two.connections.disconnect("asana", "anna");
  await assert.rejects(one.connections.callback(answer, undefined), /Nobody waits/);
  await one.attempts.followChanges();
  await advanceUntil(bench.clock, () => bench.clock.now() > device.until - 590_000);
  const next = await begin(bench, one);
  const callback = () => one.connections.callback(next.answer, undefined);
  const disconnect = () => two.connections.disconnect("asana", "anna");
  await assert.rejects(duringExchange(bench, callback, disconnect), /the attempt was ended/);
  await one.vault.followChanges();
  assert.equal(one.connections.list()[0].state, "unconnected");
  assert.deepEqual(bench.server.grants.filter((grant) => grant.includes("device")), []);
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
