import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import type { Answered } from "../e2e/program.ts";
import { until, within } from "../e2e/until.ts";
import { type Seen, WebServer } from "../e2e/web_server.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { Senders } from "./senders.ts";
import { DatabaseServer } from "./server.ts";

/** Milliseconds within which events are accepted again after SIGTERM and after SIGKILL of the replica that decides. */
const AFTER_SIGTERM = 500;
const AFTER_SIGKILL = 4_000;
/** Milliseconds within which the runs of a dead replica go on. */
const TAKEN_OVER = 6_000;

const files = (peer: string) => {
  const call = (step: string) => `
  - id: ${step}
    http: POST ${peer}/yaml/${step}
    headers: { x-replica: "\${{ env.REPLICA }}" }
    timeout: 120s
    json: { id: "\${{ event.data.id }}" }`;
  return {
    "in.yaml": "when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\nthen: [{ log: seen }]\n",
    "polled.yaml": `
when:
  poll: ${peer}/poll
  headers: { x-replica: "\${{ env.REPLICA }}" }
  every: 1s
  key: item.id
  on: [added]
limit: none
then: [{ log: "new" }]
`,
    "yaml.yaml": `
when: { webhook: /job, auth: none }
limit: none
then:${["first", "second", "third"].map(call).join("")}
`,
    "typescript.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/job", { auth: "none" }),
  limit: "none",
  then: async ({ event, step }) => {
    const { id } = event.data as { id: string };
    for (const name of ["first", "second", "third"]) {
      await step.http(name, "POST ${peer}/typescript/" + name, { json: { id }, timeout: "120s" });
    }
  },
});
`,
  };
};

/** A server of which the second step of each run waits for an answer. */
class Peer {
  readonly #held: { id: string; response: ServerResponse }[] = [];
  readonly #released = new Set<string>();

  private constructor(readonly server: WebServer) {}

  static async start(): Promise<Peer> {
    const peer = new Peer(
      await WebServer.start((seen, response) => {
        const id = seen.path === "/poll" ? "" : JSON.parse(seen.body).id;
        if (seen.path.endsWith("/second") && !peer.#released.has(id)) peer.#held.push({ id, response });
        else response.setHeader("content-type", "application/json").end(seen.path === "/poll" ? "[]" : "{}");
      }),
    );
    return peer;
  }

  /** Answers the requests of these runs that wait, also those whose sender has died; later ones are answered at once. */
  release(id: string): void {
    this.#released.add(id);
    for (const held of this.#held) if (held.id === id) held.response.end("{}");
  }

  /** Which replicas have polled, each once for each time that it began to. */
  get pollers(): string[] {
    const names = this.server.seen.filter(({ path }) => path === "/poll").map(({ headers }) => headers["x-replica"]);
    return names.filter((name, at) => name !== names[at - 1]);
  }

  /** Requests of a step. */
  of(rule: string, step: string, id: string): Seen[] {
    return this.server.seen.filter(({ path, body }) => path === `/${rule}/${step}` && JSON.parse(body).id === id);
  }

  /** Waits until a step has been requested so many times. */
  async reached(rule: string, step: string, id: string, times = 1, timeout?: number): Promise<Seen> {
    const look = () => Promise.resolve(this.of(rule, step, id));
    const seen = await until(`request ${times} of ${rule}/${step}`, look, ({ length }) => length >= times, timeout);
    return seen[times - 1];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

Deno.test("when a replica ends, dies or falls silent, the others go on, and it begins anew", async (t) => {
  await using server = await DatabaseServer.start();
  await using peer = await Peer.start();
  await using replicas = await Replicas.start(await server.create(), files(peer.server.url));
  const first = await replicas.decider();
  const deciders = [first.name];
  await until("the first one to poll", () => Promise.resolve(peer.pollers), ({ length }) => length > 0);

  await t.step("SIGTERM of the one that decides: events are accepted again within 0.5 s", async () => {
    const decider = await replicas.decider();
    await acceptedAgain(replicas, AFTER_SIGTERM, () => decider.stop());
    deciders.push((await replicas.decider()).name);
    await decider.launch();
    await decider.ready();
  });

  await t.step("kill -9 of the one that decides: events are accepted again within 4 s", async () => {
    const decider = await replicas.decider();
    await acceptedAgain(replicas, AFTER_SIGKILL, () => decider.kill());
    deciders.push((await replicas.decider()).name);
    await decider.launch();
    await decider.ready();
  });

  await t.step("a follower is killed: its runs go on elsewhere within 6 s, after what was recorded", async () => {
    const { id, runs, executor } = await jobOnFollower(replicas, peer);
    // The other rule may be executed by the same one, or not.
    await peer.reached("typescript", "second", id);
    await executor.kill();
    const again = await peer.reached("yaml", "second", id, 2, TAKEN_OVER);
    assert.notEqual(again.headers["x-replica"], executor.name);
    peer.release(id);
    const [witness] = replicas.up;
    for (const run of runs) {
      const { steps } = await succeeded(witness, run);
      assert.deepEqual(steps.map(({ path }: Answered) => path), ["first", "second", "third"]);
    }
    for (const rule of ["yaml", "typescript"]) {
      assert.equal(peer.of(rule, "first", id).length, 1, `the recorded step of ${rule} was executed again`);
    }
    assert.equal(new Set(peer.of("yaml", "second", id).map(({ headers }) => headers["idempotency-key"])).size, 1);
    await executor.launch();
    await executor.ready();
  });

  await t.step(
    "a follower is silent for 5 s: others take its runs, and it does nothing with them when it wakes",
    async () => {
      const { id, runs, executor } = await jobOnFollower(replicas, peer);
      await peer.reached("typescript", "second", id);
      const before = await idOf(executor, executor);
      executor.freeze();
      const again = await peer.reached("yaml", "second", id, 2, TAKEN_OVER);
      assert.notEqual(again.headers["x-replica"], executor.name);
      // Its own request is answered, too: it finds the answer when it wakes.
      peer.release(id);
      const [witness] = replicas.up;
      for (const run of runs) await succeeded(witness, run);
      executor.thaw();
      // Whoever asks meanwhile is refused, and finds a server.
      const look = async () => {
        const { status, headers } = await executor.program.fetch("/readyz");
        assert.ok(status === 200 || status === 503 && Number(headers.get("retry-after")) > 0, `${status}`);
        return await idOf(executor, witness).catch(() => before);
      };
      await until("it to begin anew", look, (now) => now !== before);
      await executor.ready();
      assert.match(executor.program.output, /it begins anew as another replica, and answers 503 until then/);
      peer.release(id);
      for (const run of runs) await succeeded(executor, run);
      const third = peer.of("yaml", "third", id);
      assert.deepEqual(third.map(({ headers }) => headers["x-replica"]).filter((name) => name === executor.name), []);
      assert.equal(third.length, 1);
      assert.equal((await executor.post("/hooks/in", { id: `${id} again` })).status, 202);
    },
  );

  await t.step(
    "the one that decides is silent for 5 s: another one decides within 4 s, and it follows when it wakes",
    async () => {
      const decider = await replicas.decider();
      const before = await idOf(decider, decider);
      await acceptedAgain(replicas, AFTER_SIGKILL, () => Promise.resolve(decider.freeze()));
      const next = await replicas.decider();
      assert.notEqual(next, decider);
      decider.thaw();
      await until("it to begin anew", () => idOf(decider, next).catch(() => before), (now) => now !== before);
      await decider.ready();
      assert.equal((await decider.post("/hooks/in", { id: "after silence" })).status, 202);
      assert.equal(await replicas.decider(), next);
    },
  );
});

Deno.test("a database that was restored to an earlier state: each replica notices, drops what it knew, and goes on with that state", async () => {
  await using server = await DatabaseServer.start();
  await using replicas = await Replicas.start(await server.create(), {
    "in.yaml": "when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\nthen: [{ log: seen }]\n",
  });
  const accept = async (id: string) => {
    const replica = replicas.all[Number(id.slice(1)) % 3];
    const send = () => replica.post("/hooks/in", { id });
    const { status } = await until(`${id} to be answered`, send, ({ status }) => status !== 503);
    return status;
  };
  const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `e${from + at}`);
  for (const id of ids(0, 20)) assert.equal(await accept(id), 202, id);
  await server.save();
  // The outage may have made one begin anew.
  await replicas.settled();
  for (const id of ids(20, 40)) assert.equal(await accept(id), 202, id);
  await server.restore();
  // Some begin anew only now: until then what they know better is refused.
  const listed = async (replica: Replica): Promise<string[]> => {
    const events: Answered[] = await replica.api("events?rule=in&limit=1000");
    return events.map(({ event }) => event.data.id).sort();
  };
  for (const replica of replicas.all) {
    await until(
      `${replica.name} to know the state that was restored`,
      () => listed(replica).catch((): string[] => []),
      (known) => known.length > 0 && !known.includes("e39"),
    );
  }
  for (const id of ids(0, 20)) assert.equal(await accept(id), 200, `${id} is known`);
  for (const id of ids(20, 60)) assert.equal(await accept(id), 202, `${id} is new`);
  for (const replica of replicas.all) {
    assert.deepEqual(
      await until("all events", () => listed(replica), ({ length }) => length >= 60),
      ids(0, 60).sort(),
    );
    assert.equal(replica.program.child.exitCode, null);
  }
});

/** Sends events to those that stay, does something, and checks how long none was accepted; then that none is lost or doubled. */
async function acceptedAgain(replicas: Replicas, most: number, work: () => Promise<void>): Promise<void> {
  const stay = await replicas.followers();
  using senders = new Senders(replicas, { path: "/hooks/in", runs: 1, count: 4, rest: 10, to: () => stay });
  await senders.more(20);
  const [began, before] = [performance.now(), senders.answeredAt.length];
  await work();
  await senders.more(100);
  await within(60_000, "all answers", senders.end());
  const gap = Math.round(senders.longestGap(began));
  console.log(
    `${gap} ms without a receipt, ${senders.refused} times refused, ${senders.answeredAt.length - before} receipts`,
  );
  assert.ok(gap < most, `no event was accepted for ${gap} ms`);
  for (const { id, accepted, runs } of senders.delivered.values()) {
    assert.ok(accepted <= 1, `${id} was accepted ${accepted} times`);
    const { status, body } = await stay[0].post("/hooks/in", { id });
    assert.equal(status, 200, id);
    assert.deepEqual(body.runs, runs);
  }
}

let jobs = 0;

/** Starts runs until a follower executes one; it is then in its second step. */
async function jobOnFollower(replicas: Replicas, peer: Peer) {
  const followers = await replicas.followers();
  for (let attempt = 0; attempt < 20; attempt++) {
    const id = `job ${++jobs}`;
    const { status, body } = await followers[attempt % followers.length].post("/hooks/job", { id });
    assert.equal(status, 202, JSON.stringify(body));
    const { headers } = await peer.reached("yaml", "second", id);
    const executor = followers.find(({ name }) => name === headers["x-replica"]);
    if (executor !== undefined) return { id, runs: body.runs as string[], executor };
    peer.release(id);
  }
  throw new Error("No follower executes a run");
}

/** The id under which a replica works, as another one knows it. */
async function idOf(replica: Replica, asked: Replica): Promise<string> {
  const members = await asked.members();
  return members.find(({ pid, state }) => pid === replica.pid && state === "alive")!.id;
}

async function succeeded(replica: Replica, run: string): Promise<Answered> {
  return await until(
    `run ${run} to succeed`,
    () => replica.api(`runs/${run}`),
    ({ run }) => run?.state === "succeeded",
  );
}
