import assert from "node:assert/strict";
import { ask, PEOPLE, REFUND, Visitor } from "../e2e/forms.ts";
import { eightAtATime } from "../e2e/torture/provider.ts";
import type { Answered } from "../e2e/program.ts";
import { size } from "../e2e/torture/size.ts";
import { until } from "../e2e/until.ts";
import { WebServer } from "../e2e/web_server.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { DatabaseServer } from "./server.ts";

const files = (peer: string) => ({
  "polled.yaml": `
when:
  poll: ${peer}/poll
  headers: { x-replica: "\${{ env.REPLICA }}" }
  every: 1h
  key: item.id
  on: [added]
  hook: { webhook: /look, auth: none }
then: [{ log: new }]
`,
  "whenthen.yaml": PEOPLE,
  "refund.yaml": REFUND,
  // One run at a time: a run that waited in the queue is executed by whichever replica claims it.
  "price.yaml": `
when: { webhook: /price, auth: none, replyWithin: 60s }
key: "'all'"
mode: queued
then:
  - { id: who, run: [printenv, REPLICA] }
  - { reply: 200, json: { id: "\${{ event.data.id }}", by: "\${{ trim(steps.who.stdout) }}" } }
`,
  "wait.yaml": `
when: { webhook: /wait, auth: none }
limit: none
max: 100
then:
  - waitFor: paid
    match: { data.id: event.data.id }
    timeout: 60s
    id: paid
  - { if: steps.paid == null, stop: nobody paid, as: failed }
`,
  "limited.yaml": `
when: { event: measured }
config: { limit: { type: number, default: 10 } }
if: event.data.value > config.limit
then: [{ log: too much }]
`,
  "slow.yaml": `
when: { webhook: /slow, auth: none }
then:
  - { id: sleep, run: "echo $$; exec sleep 600", timeout: 700s }
`,
});

/** How often an event and a wait meet. */
const MEETINGS = size(300, 4_000);

const LIVE = ["queued", "running", "waiting"];

function ended(replica: Replica, run: string): Promise<Answered> {
  const look = () => replica.api(`runs/${run}`);
  return until(`the end of run ${run}`, look, ({ run }) => run !== undefined && !LIVE.includes(run.state));
}

/** Sends an event to a replica. @returns its verdict at a rule */
async function verdictOf(replica: Replica, rule: string, event: { type: string; data: object }): Promise<string> {
  const { status, body } = await replica.post("/api/emit", event);
  assert.equal(status, 200, JSON.stringify(body));
  return body.verdicts.find((verdict: { rule: string }) => verdict.rule === rule).verdict.kind;
}

Deno.test("what one replica takes, decides or is told holds for all", async (t) => {
  await using server = await DatabaseServer.start();
  await using peer = await WebServer.start((_, response) =>
    void response.setHeader("content-type", "application/json").end("[]")
  );
  await using replicas = await Replicas.start(await server.create(), files(peer.url));
  const [first, second, third] = replicas.all;

  await t.step("one of three decides, and each knows who", async () => {
    const decider = await replicas.decider();
    for (const replica of replicas.all) {
      const members = await replica.members();
      assert.deepEqual(members.map(({ pid }) => pid).sort(), replicas.all.map(({ pid }) => pid).sort());
      assert.deepEqual(members.filter(({ decides }) => decides).map(({ pid }) => pid), [decider.pid]);
    }
  });

  await t.step("a webhook is answered by the reply of its run, wherever that is executed", async () => {
    let elsewhere = 0;
    const numbers = Array.from({ length: 24 }, (_, id) => id);
    await Promise.all(numbers.map(async (id) => {
      const receiver = replicas.all[id % 3];
      const { status, body } = await receiver.post("/hooks/price", { id });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.id, id);
      if (body.by !== receiver.name) elsewhere++;
    }));
    assert.ok(elsewhere > 0, "each run was executed by the replica that took its webhook");
  });

  await t.step(
    `an event on one replica ends a wait on another that begins at the same moment, ${MEETINGS} times`,
    async () => {
      await eightAtATime(Array.from({ length: MEETINGS }, (_, id) => id), async (id) => {
        const [one, other, asked] = [0, 1, 2].map((by) => replicas.all[(id + by) % 3]);
        const accepted = await one.post("/hooks/wait", { id });
        assert.equal(accepted.status, 202, JSON.stringify(accepted.body));
        assert.equal((await other.post("/api/emit", { type: "paid", data: { id } })).status, 200);
        const { run } = await ended(asked, accepted.body.runs[0]);
        assert.equal(run.state, "succeeded", JSON.stringify(run));
      });
    },
  );

  await t.step("a session and a form of one replica are used on another, and the form is answered once", async () => {
    const form = await ask(first.program, "A1");
    const visitor = new Visitor(second.program);
    assert.equal((await visitor.signIn("anna")).status, 303);
    const anna = visitor.at(third.program);
    const answered = await anna.fill(`/forms/${form}`, { decision: "approve", amount: "50" });
    assert.equal(answered.status, 303, answered.text);
    const { run } = await third.api(`forms/${form}`);
    assert.equal((await ended(first, run)).run.state, "succeeded");
    assert.equal((await visitor.get(`/forms/${form}`)).status, 409);
  });

  await t.step("config that is set on one replica is in force on all", async () => {
    const event = { type: "measured", data: { value: 20 } };
    for (const replica of replicas.all) assert.equal(await verdictOf(replica, "limited", event), "started");
    assert.equal((await first.post("/api/rules/limited/config", { set: { limit: 30 } })).status, 200);
    for (const replica of replicas.all) {
      const values = () => replica.api("rules/limited/config");
      await until(`the config on ${replica.name}`, values, ([{ value }]) => value === 30);
      assert.equal(await verdictOf(replica, "limited", event), "condition");
    }
  });

  await t.step("a rule that is paused or resumed on one replica is so on all", async () => {
    const event = { type: "measured", data: { value: 50 } };
    const stateOf = async (replica: Replica) => {
      const rules: { id: string; state: string }[] = await replica.api("rules");
      return rules.find(({ id }) => id === "limited")!.state;
    };
    assert.equal((await second.post("/api/rules/limited/pause", {})).status, 200);
    for (const replica of replicas.all) {
      await until(`the pause on ${replica.name}`, () => stateOf(replica), (state) => state === "paused");
      assert.equal(await verdictOf(replica, "limited", event), "disabled");
    }
    assert.equal((await third.post("/api/rules/limited/resume", {})).status, 200);
    for (const replica of replicas.all) {
      await until(`the end of the pause on ${replica.name}`, () => stateOf(replica), (state) => state === "on");
      assert.equal(await verdictOf(replica, "limited", event), "started");
    }
  });

  await t.step("a run is cancelled on one replica, and its command ends on the one that executes it", async () => {
    for (const replica of replicas.all) {
      const { body: { runs: [run] } } = await replica.post("/hooks/slow", {});
      const look = () => childrenOf(replicas, "sleep 600");
      const [child] = await until("the command to run", look, (found) => found.length > 0);
      const other = replicas.all.find(({ pid }) => pid !== child.parent)!;
      assert.equal((await other.post(`/api/runs/${run}/cancel`, {})).status, 200);
      assert.equal((await ended(replica, run)).run.state, "cancelled");
      await until("the command to end", look, (found) => found.length === 0);
    }
  });

  await t.step("a delivery to the hook of a poll, at any replica: the one that polls looks at once", async () => {
    const polls = () => Promise.resolve(peer.seen.filter(({ path }) => path === "/poll"));
    await until("the first poll", polls, ({ length }) => length > 0);
    for (const replica of replicas.all) {
      const before = (await polls()).length;
      const { status, body } = await replica.post("/hooks/look", {});
      assert.deepEqual([status, body], [202, { looks: 1 }], replica.name);
      await until(`a poll after a delivery to ${replica.name}`, polls, ({ length }) => length > before);
    }
    assert.equal(new Set((await polls()).map(({ headers }) => headers["x-replica"])).size, 1);
    // The next one that decides polls.
    const decider = await replicas.decider();
    await decider.stop();
    const next = await replicas.decider();
    for (const replica of replicas.up) {
      const before = (await polls()).length;
      assert.deepEqual((await replica.post("/hooks/look", {})).body, { looks: 1 }, replica.name);
      const seen = await until(`a poll by ${next.name}`, polls, ({ length }) => length > before);
      assert.equal(seen.at(-1)!.headers["x-replica"], next.name);
    }
    await decider.launch();
    await decider.ready();
  });

  await t.step("all ended by SIGTERM with 0, and no error was logged", async () => {
    for (const replica of replicas.all) await replica.stop();
    for (const { program, name } of replicas.all) {
      assert.deepEqual(program.lines.filter(({ level }) => level === "ERROR"), [], name);
    }
  });
});

/** Commands that replicas execute at the moment. */
async function childrenOf(replicas: Replicas, command: string): Promise<{ pid: number; parent: number }[]> {
  const { readFile } = await import("node:fs/promises");
  const found = [];
  for (const { pid: parent } of replicas.up) {
    const children = await readFile(`/proc/${parent}/task/${parent}/children`, "utf8");
    for (const pid of children.trim().split(" ").filter(Boolean).map(Number)) {
      const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      if (line.replaceAll("\0", " ").trim().endsWith(command)) found.push({ pid, parent });
    }
  }
  return found;
}
