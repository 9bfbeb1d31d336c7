import assert from "node:assert/strict";
import type { Answered } from "../e2e/program.ts";
import { eightAtATime, listAll } from "../e2e/torture/provider.ts";
import { between, isLong, pause, size } from "../e2e/torture/size.ts";
import { until, within } from "../e2e/until.ts";
import { WebServer } from "../e2e/web_server.ts";
import { type Call, checkHistory, type Expected, type History, type ListedRun } from "./check_history.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { Senders } from "./senders.ts";
import { connection, DatabaseServer } from "./server.ts";

/** Characters of each event that is there only to be folded and merged, and seconds for which its run waits. */
const BALLAST = 300_000;
const BALLAST_WAIT = 3;

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
    "logs.yaml": `${when}max: 100\nthen:\n  - { id: note, log: noted }\n  - id: work${call("logs/work")}\n`,
    // Each is live state for longer than it takes to write a segment.
    "ballast.yaml": `when: { webhook: /ballast, auth: none, dedupe: event.data.id }
limit: none
max: 1000
then: [{ waitFor: nothing, timeout: ${BALLAST_WAIT}s }]
`,
  };
};

const EXPECTED: Expected = {
  steps: new Map([
    ["one", ["work"]],
    ["three", ["make", "note", "tell"]],
    ["waits", ["paid", "work"]],
    ["queued", ["work"]],
    ["logs", ["note", "work"]],
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
/** Waits until one that follows begins to write files of a fold or merge. */
async function folding(replicas: Replicas): Promise<Replica> {
  const followers = await replicas.followers();
  const look = () => Promise.all(followers.map((replica) => replica.files()));
  const before = new Set((await look()).flat());
  const isNew = (name: string) => /^(?:base|delta|ids|part)-/.test(name) && !before.has(name);
  const seen = await until("a replica that follows to fold", look, (files) => files.flat().some(isNew));
  return followers.find((_, index) => seen[index].some(isNew))!;
}
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
  "a follower is killed while it folds": killed(folding),
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
  "a follower is killed": killed(follower),
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
  using ballast = new Senders(replicas, {
    path: "/hooks/ballast",
    runs: 1,
    count: 4,
    rest: size(200, 400),
    more: { pad: "ballast ".repeat(BALLAST / 8) },
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
  await using sql = await connection(replicas.url);
  const kinds = async () => (await sql`select path from whenthen.files`).map(({ path }) => path.split("-")[0]);
  await until("folds and a merge", kinds, (all) => all.includes("base") && partsIn(all) >= size(10, 50));
  await within(120_000, "all answers", Promise.all([senders.end(), ballast.end()]));
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
  await checkBallast(replicas, ballast);
  console.log(`${ballast.delivered.size} events of ${BALLAST} characters; ${partsIn(await kinds())} folds`);
});

const partsIn = (kinds: string[]) => kinds.filter((kind) => kind === "part").length;

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

/** Each replica lists a run for each, which has succeeded; and one of them is asked whether it knows the event. */
async function checkBallast({ all }: Replicas, { delivered }: Senders): Promise<void> {
  const acknowledged = [...delivered.values()].flatMap(({ runs }) => runs).sort();
  for (const replica of all) {
    const runs = await listAll(replica, "runs", "ballast");
    assert.ok(runs.every(({ state }) => state === "succeeded"), replica.name);
    assert.deepEqual(runs.map(({ id }) => id).sort(), acknowledged, replica.name);
  }
  await eightAtATime(delivered.values(), async ({ id, runs }) => {
    const replica = all[between(0, all.length - 1)];
    const { status, body } = await replica.post("/hooks/ballast", { id });
    assert.deepEqual([status, body.runs], [200, runs], `${replica.name} knows event ${id}`);
  });
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
