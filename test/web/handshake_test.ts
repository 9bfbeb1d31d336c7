import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HookSecrets } from "../../runtime/connections/hook_secrets.ts";
import { type StoredHook, Vault } from "../../runtime/connections/vault.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { realDisk } from "../../runtime/host/disk.ts";
import { newKey } from "../connections/harness.ts";
import { NOW, openBench, rule, webhook } from "./harness.ts";

const KEY = newKey();

function openAsana(key: string | undefined = KEY) {
  return openBench([rule("tasks", [webhook("/asana", { auth: "asana" })])], {
    secretOf: (name) => name === "WHENTHEN_KEY" ? key : undefined,
  });
}

type Bench = Awaited<ReturnType<typeof openAsana>>;

const shake = (bench: Bench, secret: string) =>
  bench.ask("POST", "/hooks/asana", { body: "{}", headers: { "x-hook-secret": secret } });

function deliver(bench: Bench, secret: string, body: string) {
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  const headers = { "content-type": "application/json", "x-hook-signature": signature };
  return bench.ask("POST", "/hooks/asana", { body, headers });
}

const EVENTS = '{"events":[{"action":"changed","resource":{"gid":"1"},"created_at":"2026-11-21T08:00:00Z"}]}';

Deno.test("a handshake is answered only while the webhook is open; each adds a secret", async () => {
  await using bench = await openAsana();
  await bench.context.hookSecrets.readKey();
  const early = await shake(bench, "too-early");
  assert.equal(early.status, 403);
  assert.match(early.body.error, /whenthen hooks open RULE --for 10m/);
  const [opened] = (await bench.post("/api/hooks/open", { rule: "tasks", for: "10m", by: "anna" })).body;
  assert.equal(opened.openUntil, bench.clock.now() + 600_000);
  // Two at once are both kept.
  const answers = await Promise.all(
    ["first-secret-of-asana", "second-secret-of-asana"].map((secret) => shake(bench, secret)),
  );
  assert.deepEqual(answers.map(({ status, headers }) => [status, headers.get("x-hook-secret")]), [
    [200, "first-secret-of-asana"],
    [200, "second-secret-of-asana"],
  ]);
  assert.equal((await shake(bench, "first-secret-of-asana")).status, 200);
  // Secrets are masked in all output: one that is a word there is refused.
  for (const bad of ["rule", "x".repeat(15), "x".repeat(201)]) assert.equal((await shake(bench, bad)).status, 403);
  const [listed] = (await bench.ask("GET", "/api/hooks")).body;
  assert.deepEqual([listed.rule, listed.path, listed.secrets.length], ["tasks", "/hooks/asana", 2]);
  assert.ok(!JSON.stringify(listed).includes("first-secret-of-asana"));
  bench.clock.jumpTo(bench.clock.now() + 600_000);
  assert.equal((await shake(bench, "too-late")).status, 403);
});

Deno.test("deliveries are verified with every secret; an empty one is answered and starts nothing, a repeated one is one event", async () => {
  await using bench = await openAsana();
  await bench.context.hookSecrets.readKey();
  assert.equal((await deliver(bench, "first-secret-of-asana", EVENTS)).status, 401);
  await bench.post("/api/hooks/open", { rule: "tasks" });
  for (const secret of ["first-secret-of-asana", "second-secret-of-asana"]) await shake(bench, secret);
  assert.equal((await deliver(bench, "first-secret-of-asana", '{"events":[]}')).status, 200);
  assert.equal((await bench.store.listEvents({ limit: 10 })).length, 0);
  assert.equal((await deliver(bench, "second-secret-of-asana", EVENTS)).status, 202);
  assert.deepEqual((await deliver(bench, "second-secret-of-asana", EVENTS)).body.duplicate, true);
  assert.equal((await deliver(bench, "third-secret-of-asana", EVENTS)).status, 401);
  const [{ event }] = await bench.store.listEvents({ limit: 10 });
  assert.ok(!JSON.stringify(event).includes('x-hook-signature":'));

  const [{ secrets }] = (await bench.ask("GET", "/api/hooks")).body;
  assert.deepEqual((await bench.post("/api/hooks/remove", { what: secrets[1].id })).body, { removed: 1 });
  assert.equal((await deliver(bench, "second-secret-of-asana", EVENTS)).status, 401);
  assert.equal((await deliver(bench, "first-secret-of-asana", '{"events":[]}')).status, 200);
  assert.equal((await bench.post("/api/hooks/remove", { what: "tasks" })).status, 200);
  assert.equal((await deliver(bench, "first-secret-of-asana", '{"events":[]}')).status, 401);
  assert.equal((await bench.post("/api/hooks/remove", { what: "tasks" })).status, 404);
});

Deno.test("a webhook is opened only with a key, for a rule that has one, and for a day at most", async () => {
  await using bench = await openAsana("");
  const open = async (body: Record<string, string>) => (await bench.post("/api/hooks/open", body)).body.error;
  assert.match(await open({ rule: "tasks" }), /WHENTHEN_KEY is not set: make a key/);
  assert.match(await open({ rule: "task" }), /The rule "task" has no webhook with auth: asana/);
  assert.match(await open({ rule: "tasks", for: "2d" }), /expected a duration up to 1d/);
});

Deno.test("the secrets of handshakes are on disk only sealed, survive a restart, and go over to a new key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-hooks-"));
  const clock = new ManualClock(NOW);
  const hidden: string[] = [];
  const open = async (key: string) => {
    const vault = await Vault.open<StoredHook>(folder, realDisk, () => {}, "hooks");
    const hide = (_name: string, texts: string[]) => void hidden.push(...texts);
    const secrets = new HookSecrets({ clock, vault, secretOf: () => key, hide, log() {} });
    await secrets.readKey();
    return secrets;
  };
  const hook = { rule: "tasks", trigger: "webhook /asana" };
  try {
    const first = await open(KEY);
    await first.open(hook, 60_000, "anna");
    assert.equal(await first.offer(hook, "first-secret-of-asana"), true);
    assert.ok(hidden.includes("first-secret-of-asana"));
    assert.ok(!(await readFile(join(folder, "hooks"), "utf8")).includes("first-secret-of-asana"));
    assert.deepEqual((await open(KEY)).of(hook), ["first-secret-of-asana"]);
    const next = newKey();
    assert.deepEqual([(await open(next)).of(hook), (await open(next)).list()[0].secrets[0].readable], [[], false]);
    assert.deepEqual((await open(`${next},${KEY}`)).of(hook), ["first-secret-of-asana"]);
    assert.deepEqual((await open(next)).of(hook), ["first-secret-of-asana"]);
    // During a reload deliveries are still verified, and a handshake is kept.
    const last = newKey();
    let key = next;
    const during: string[][] = [];
    const create = (path: string) => (during.push(running.of(hook)), realDisk.create(path));
    const vault = await Vault.open<StoredHook>(folder, { ...realDisk, create }, () => {}, "hooks");
    const running: HookSecrets = new HookSecrets({ clock, vault, secretOf: () => key, hide() {}, log() {} });
    await running.readKey();
    key = `${last},${next}`;
    const reading = running.readKey();
    assert.deepEqual(await Promise.all([running.offer(hook, "second-secret-of-asana"), reading]), [true, undefined]);
    assert.deepEqual(during, [["first-secret-of-asana"], ["first-secret-of-asana"]]);
    assert.deepEqual((await open(last)).of(hook), ["first-secret-of-asana", "second-secret-of-asana"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
