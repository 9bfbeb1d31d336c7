import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start, whenthen, whenthenUnread } from "./program.ts";

const FILES = {
  "orders.yaml": `
when: { event: order.created }
if: event.data.amount > 100
then:
  - id: big
    log: "order \${{ event.data.id }}"
  - id: lookup
    if: event.data.amount > 1000
    run: [sh, -c, "echo no such customer >&2; exit 3"]
`,
  "by_hand.yaml": "when: manual\nthen:\n  - log: by hand\n",
};

Deno.test("commands ask the running program, and open the store themselves after it has stopped", async () => {
  await using folder = await rulesFolder(FILES);
  const cli = (...args: string[]) => whenthen(["--data", folder.data, ...args]);
  const emit = (id: string, amount: number) =>
    cli("emit", "order.created", "--data", JSON.stringify({ id, amount }), "--id", id, "--subject", id);
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    const emitted = await emit("A1", 500);
    assert.equal(emitted.code, 0, emitted.stderr);
    await program.waitForMessage("order A1");
    assert.match((await emit("A1", 500)).stdout, /duplicate/);
    assert.match((await emit("A2", 5)).stdout, /event\.data\.amount > 100/, "why nothing started");
    await emit("A3", 5_000);
    await program.waitForMessage("orders failed");
    assert.equal((await cli("start", "by_hand")).code, 0);
    await program.waitForMessage("by hand");
    assert.equal(await program.stop(), 0);
  }
  const events = await cli("events");
  assert.match(events.stdout, /order\.created/);
  assert.match(events.stdout, /event\.data\.amount.*5/, "the verdict says why, with the value");

  const runs = JSON.parse((await cli("runs", "--json")).stdout);
  const failed = runs.find(({ state }: { state: string }) => state === "failed");
  const shown = await cli("show", failed.id);
  for (const words of ["order.created", "big", "lookup", "no such customer", "3"]) {
    assert.ok(shown.stdout.includes(words), `"${words}" in:\n${shown.stdout}`);
  }
  assert.match((await cli("runs")).stdout, /orders .*failed|failed .*orders/);

  const about = JSON.parse((await cli("runs", "--subject", "A3", "--json")).stdout);
  assert.deepEqual(about.map(({ id }: { id: string }) => id), [failed.id]);
  const told = await cli("events", "--subject", "A2", "--json");
  assert.deepEqual(JSON.parse(told.stdout).map(({ event }: { event: { id: string } }) => event.id), ["A2"]);
  const own = await cli("emit", "whenthen.run.failed");
  assert.equal(own.code, 1);
  assert.match(own.stderr, /whenthen\. are the program's own/);

  const unknown = await cli("show", "nonsense");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout + unknown.stderr, /nonsense/);

  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const replayed = await cli("replay", failed.id);
  assert.equal(replayed.code, 0, replayed.stderr);
  await program.waitForMessage("orders failed");
});

Deno.test("a second program on the same data folder, and a missing folder, are refused with a remedy", async () => {
  await using folder = await rulesFolder(FILES);
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const second = await whenthen(["run", folder.rules, "--data", folder.data, "--port", "0"]);
  assert.equal(second.code, 64);
  assert.match(second.stderr, /another whenthen/);
  const missing = await whenthen(["run", `${folder.rules}/nowhere`]);
  assert.equal(missing.code, 64);
  assert.match(missing.stderr, /whenthen init/);
  const open = await whenthen(["run", folder.rules, "--data", `${folder.data}2`, "--port", "0", "--host", "0.0.0.0"]);
  assert.equal(open.code, 64);
  assert.match(open.stderr, /WHENTHEN_TOKEN/);
});

Deno.test("listening on all addresses, everything but hooks and health needs the token", async () => {
  await using folder = await rulesFolder({ "a.yaml": "when: { webhook: /a, auth: none }\nthen:\n  - log: a\n" });
  const env = { WHENTHEN_TOKEN: "a-long-random-token" };
  await using program = start(folder.rules, { data: folder.data, env, args: ["--host", "0.0.0.0"] });
  assert.equal((await program.post("/hooks/a", {})).status, 202);
  const statusOf = async (path: string, headers = {}) => {
    const response = await program.fetch(path, { headers });
    await response.body?.cancel();
    return response.status;
  };
  for (const path of ["/healthz", "/readyz"]) assert.equal(await statusOf(path), 200, path);
  for (const path of ["/", "/metrics", "/api/runs", "/api/events"]) {
    assert.equal(await statusOf(path), 401, path);
    assert.equal(await statusOf(path, { authorization: "Bearer a-long-random-token" }), 200, path);
    assert.equal(await statusOf(path, { authorization: "Bearer wrong" }), 401, path);
  }
});

Deno.test("whenthen init creates a folder that runs", async () => {
  await using folder = await rulesFolder({});
  const made = await whenthen(["init", `${folder.rules}/new`]);
  assert.equal(made.code, 0, made.stderr);
  const checked = await whenthen(["check", `${folder.rules}/new`]);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  await using program = start(`${folder.rules}/new`, { data: folder.data });
  const answer = await program.post("/hooks/hello", { name: "Ada" });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, { text: "Hello, Ada" });
  await program.waitForMessage("has 2 words");
});

Deno.test("a reader that closes the pipe, as head does, causes no error", async () => {
  assert.deepEqual(await whenthenUnread(["schema"]), { code: 0, stderr: "" });
});
