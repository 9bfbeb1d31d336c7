import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

Deno.test("an event that was answered 202 runs once, although the program is killed before the action", async () => {
  await using peer = await WebServer.start(() => {});
  await using folder = await rulesFolder({
    "pay.yaml": `
when: { webhook: /pay, auth: none, dedupe: event.data.id }
then:
  - id: first
    log: "first \${{ event.data.id }}"
  - id: charge
    http: POST ${peer.url}/charge
    json: { id: "\${{ event.data.id }}" }
    timeout: 1h
  - id: last
    log: "paid \${{ event.data.id }}"
`,
  });
  const keys: string[] = [];
  {
    await using program = start(folder.rules, { data: folder.data });
    const { status, body } = await program.post("/hooks/pay", { id: "A1" });
    assert.equal(status, 202);
    assert.equal(body.duplicate, false);
    assert.equal(body.runs.length, 1);
    const [seen] = await peer.waitFor(1);
    keys.push(seen.headers["idempotency-key"]);
    await program.kill();
  }
  peer.answer((_, response) => response.end("{}"));
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("paid A1");
  const seen = await peer.waitFor(2);
  assert.equal(seen[1].headers["idempotency-key"], keys[0], "each attempt carries the same key");
  assert.equal(program.lines.filter(({ message }) => message.includes("first A1")).length, 0, "step 1 is recorded");

  const again = await program.post("/hooks/pay", { id: "A1" });
  assert.equal(again.status, 200);
  assert.equal(again.body.duplicate, true);
  // The line is printed before the step is recorded, and the run ends with that.
  const runs = await until("the run to end", () => program.api("runs"), ([{ state }]) => state === "succeeded");
  assert.equal(runs.length, 1);
  assert.equal(peer.seen.length, 2);
});

Deno.test("neither the first delivery nor its duplicate is answered before the event is on disk", async () => {
  const held = 300;
  await using folder = await rulesFolder({
    "a.yaml": "when: { webhook: /a, auth: none, dedupe: event.data.id }\nthen:\n  - log: seen\n",
  });
  await using program = start(folder.rules, { data: folder.data, env: { WHENTHEN_TEST_DISK: `hold:${held}` } });
  await program.url();
  const sent = performance.now();
  const answers = await Promise.all([1, 1, 1].map(async (id) => {
    const { status, body } = await program.post("/hooks/a", { id });
    return { status, runs: body.runs, after: performance.now() - sent };
  }));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 202]);
  assert.equal(new Set(answers.flatMap(({ runs }) => runs)).size, 1);
  for (const { after } of answers) assert.ok(after >= held, `answered after ${after} ms`);
});

Deno.test("SIGTERM during a run: exit 0, and after a restart the run resumes after the last recorded step", async () => {
  await using peer = await WebServer.start(() => {});
  await using folder = await rulesFolder({
    "slow.yaml": `
when: { webhook: /slow, auth: none }
then:
  - log: one
  - http: POST ${peer.url}/never
  - log: done after all
`,
  });
  {
    await using program = start(folder.rules, { data: folder.data });
    assert.equal((await program.post("/hooks/slow", {})).status, 202);
    await peer.waitFor(1);
    assert.equal(await program.stop(), 0);
  }
  peer.answer((_, response) => response.end("{}"));
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("done after all");
  assert.equal(program.lines.filter(({ message }) => message === "one").length, 0);
});
