import assert from "node:assert/strict";
import type { Answered } from "../e2e/program.ts";
import { eightAtATime, listAll } from "../e2e/torture/provider.ts";
import { between, isLong, pause, size } from "../e2e/torture/size.ts";
import { until, within } from "../e2e/until.ts";
import { WebServer } from "../e2e/web_server.ts";
import { type Call, checkHistory, type Expected, type History, type ListedRun } from "./check_history.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { Senders } from "./senders.ts";
import { DatabaseServer } from "./server.ts";

/** One webhook starts a run of each. Each step outside is a request that says who makes it. */
const files = (peer: string) => {
  const call = (path: string, more = "") => `
    http: POST ${peer}/${path}
    headers: { x-replica: "\${{ env.REPLICA }}" }
    json: { id: "\${{ event.data.id }}", key: "\${{ event.data.key }}"${more} }`;
  const when = "when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\n";
  const token = ', token: "\${{ steps.make.body.token }}"';
  return {
    "one.yaml": `${when}max: 100\nthen:\n  - id: work${call("one/work")}\n`,
    "three.yaml": `${when}max: 100\nthen:\n  - id: make${call("three/make")}
  - { id: note, state: "\${{ event.data.id }}", value: noted }
  - id: tell${call("three/tell", token)}\n`,
    "waits.yaml": `${when}max: 100\nthen:\n  - id: paid
    waitFor: paid
    match: { data.id: event.data.id }
  - id: work${call("waits/work")}\n`,
    "queued.yaml": `${when}key: event.data.key\nmode: queued\nthen:\n  - id: work${call("queued/work")}\n`,
  };
};

const EXPECTED: Expected = {
  steps: new Map([
    ["one", ["work"]],
    ["three", ["make", "note", "tell"]],
    ["waits", ["paid", "work"]],
    ["queued", ["work"]],
  ]),
  queued: "queued",
};

/** Milliseconds after which a silent replica is declared dead, and a bit. */
const SILENT = 4_000;

/** A request that arrives so many milliseconds after its sender was continued may have been under way. */
const LATE = 1_000;

type Incident = (replicas: Replicas, server: DatabaseServer) => Promise<void>;

const decider = (replicas: Replicas) => replicas.decider();
async function follower(replicas: Replicas): Promise<Replica> {
  const followers = await replicas.followers();
  return followers[between(0, followers.length - 1)];
}

const killed = (choose: typeof decider): Incident => async (replicas) => {
  const replica = await choose(replicas);
  await replica.kill();
  await pause(between(0, 2_000));
  await replica.launch();
};
const ended = (choose: typeof decider): Incident => async (replicas) => {
  const replica = await choose(replicas);
  await replica.stop();
  await replica.launch();
};
const frozen = (choose: typeof decider, ms: () => number): Incident => async (replicas) => {
  const replica = await choose(replicas);
  replica.freeze();
  await pause(ms());
  replica.thaw();
};
const silenced = (choose: typeof decider, ms: () => number): Incident => async (replicas) => {
  const { line } = await choose(replicas);
  line.hold();
  await pause(ms());
  line.release();
};
const cut = (choose: typeof decider, ms: () => number): Incident => async (replicas) => {
  const { line } = await choose(replicas);
  line.cut();
  await pause(ms());
  await line.mend();
};
const long = () => between(SILENT, SILENT + 1_500);
const short = () => between(100, 1_500);

const INCIDENTS: Record<string, Incident> = {
  "the decider is killed": killed(decider),
  "a follower is silent for long": frozen(follower, long),
  "the decider is cut off for long": cut(decider, long),
  "the database crashes": async (_, server) => {
    await server.crash();
    await pause(between(0, 1_000));
    await server.resume();
  },
  "a follower is killed": killed(follower),
  "the decider is silent for long": frozen(decider, long),
  "all connections break": (replicas) => {
    for (const { line } of replicas.all) line.interrupt();
    return Promise.resolve();
  },
  "the network of a follower hangs for long": silenced(follower, long),
  "the decider is ended": ended(decider),
  "the decider is silent for a moment": frozen(decider, short),
  "the network of the decider hangs for long": silenced(decider, long),
  "a follower is ended": ended(follower),
  "a follower is cut off for a moment": cut(follower, short),
  "all but the decider are killed": async (replicas) => {
    const followers = await replicas.followers();
    await Promise.all(followers.map((replica) => replica.kill()));
    for (const replica of followers) await replica.launch();
  },
  "all are killed": async (replicas) => {
    await Promise.all(replicas.all.map((replica) => replica.kill()));
    for (const replica of replicas.all) await replica.launch();
  },
};

Deno.test("three replicas, killed, stopped, cut off, with a database that crashes, while events come twice to different ones: none is lost, doubled or out of order", async () => {
  let tokens = 0;
  const calls: Call[] = [];
  await using server = await DatabaseServer.start();
  await using peer = await WebServer.start((seen, response) => {
    const [, rule, step] = seen.path.split("/");
    const { id, key, token } = JSON.parse(seen.body);
    const { thawedAt } = replicas.all.find(({ name }) => name === seen.headers["x-replica"])!;
    const isLate = performance.now() - thawedAt < LATE;
    const idempotencyKey = seen.headers["idempotency-key"];
    calls.push({ rule, step, event: id, key, idempotencyKey, isLate, ...token && { token } });
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ token: `t${++tokens}` }));
  });
  await using replicas = await Replicas.start(await server.create(), files(peer.url));
  using senders = new Senders(replicas, {
    path: "/hooks/in",
    runs: EXPECTED.steps.size,
    count: 8,
    rest: size(200, 400),
    then: "paid",
  });
  const names = Object.keys(INCIDENTS);
  for (let count = 0; count < size(6, 50); count++) {
    const name = isLong ? names[between(0, names.length - 1)] : names[count];
    const began = performance.now();
    await INCIDENTS[name](replicas, server);
    await replicas.settled();
    // Each sender has got through.
    await senders.more(8);
    const took = Math.round(performance.now() - began);
    console.log(
      `${name}: ready again after ${took} ms; longest ${Math.round(senders.longestGap(began))} ms without a receipt`,
    );
  }
  await within(120_000, "all answers", senders.end());
  const { delivered, refused } = senders;
  await allEnded(replicas);
  for (const { name, program } of replicas.all) assert.doesNotMatch(program.output, /DAMAGED|recovered/, name);
  const histories = await Promise.all(replicas.all.map((replica) => historyOf(replica, calls)));
  console.log(
    `${delivered.size} events, ${histories[0].runs.length} runs, ${calls.length} requests; refused ${refused} times`,
  );
  for (const [index, history] of histories.entries()) {
    assert.deepEqual(checkHistory(delivered.values(), history, EXPECTED), [], replicas.all[index].name);
  }
});

/** Waits until no run is live, whoever is asked. */
async function allEnded(replicas: Replicas): Promise<void> {
  for (const replica of replicas.all) {
    const look = async () => {
      const states = ["queued", "running", "waiting"];
      return (await Promise.all(states.map((state) => replica.api(`runs?state=${state}&limit=5`)))).flat();
    };
    await until(`the end of all runs on ${replica.name}`, look, (live) => live.length === 0);
  }
}

/** What a replica lists, all of it. */
async function historyOf(replica: Replica, calls: Call[]): Promise<History> {
  const events = new Map<string, string[]>();
  const runs: ListedRun[] = [];
  for (const rule of EXPECTED.steps.keys()) {
    const listed = await listAll(replica, "events", rule);
    events.set(rule, listed.map(({ event }) => event.data.id));
    await eightAtATime(await listAll(replica, "runs", rule), async ({ id }) => {
      const { run, steps } = await replica.api(`runs/${id}`);
      const made = steps.find(({ path }: Answered) => path === "make");
      const paths = steps.map(({ path }: Answered) => path);
      const token = made?.output.body.token;
      runs.push({ id, rule, event: run.event.data.id, state: run.state, steps: paths, ...token && { token } });
    });
  }
  return { events, runs, calls };
}
