import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
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
    timeout: 20s
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
  const runs = await program.api("runs");
  assert.equal(runs.length, 1);
  assert.equal(runs[0].state, "succeeded");
  assert.equal(peer.seen.length, 2);
});

Deno.test("a duplicate is not answered before the first delivery is on disk", async () => {
  await using folder = await rulesFolder({
    "a.yaml": "when: { webhook: /a, auth: none, dedupe: event.data.id }\nthen:\n  - log: seen\n",
  });
  await using program = start(folder.rules, { data: folder.data, env: { WHENTHEN_TEST_DISK: "hold:1000" } });
  await program.url();
  const answered: string[] = [];
  const first = program.post("/hooks/a", { id: 1 }).then((answer) => (answered.push("first"), answer));
  const second = program.post("/hooks/a", { id: 1 }).then((answer) => (answered.push("second"), answer));
  const answers = await Promise.all([first, second]);
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 202]);
  const accepted = answers[0].status === 202 ? "first" : "second";
  assert.equal(answered[0], accepted, "the accepted one is answered first");
});

Deno.test("SIGTERM under way: exit 0, and the run goes on behind its last recorded step", async () => {
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
