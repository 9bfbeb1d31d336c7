import { createServer } from "node:http";
import { Cluster } from "../cluster.ts";
import type { Lab } from "../lab.ts";
import { median, quantile } from "../numbers.ts";
import { aimFor, type Part, type Row } from "../report.ts";
import type { Server } from "../server.ts";
import { SETTINGS } from "./ingest.ts";
import { FLOW } from "./flows.ts";

const CONNECTIONS = 64;
/** Webhooks a second at which receipts are timed. */
const RATE = 500;
/** Runs that wait for an event on another replica, one after the other. */
const WAITS = 300;
/** Milliseconds of a round trip to a database in the same data centre. */
const NEAR = 2;
const IDENTITIES = 1_000_000;
/** A shorter benchmark uses fewer. */
const SHORT = 100_000;
/** As many CloudEvents as a batch may have. */
const BATCH = 1_000;
/** Bytes of an event whose trace in the database's log is measured. */
const SMALL = 250;
const ENDS = 3;

const rules = (peer: string) => ({
  "in.yaml":
    'when: { webhook: /in, auth: none }\nlimit: none\nmax: 256\nthen: [{ log: "Order ${{ event.data.id }}" }]\n',
  "flow.ts": FLOW,
  "wait.yaml": `when: { webhook: /wait, auth: none }
limit: none
then:
  - { waitFor: paid, match: { data.id: event.data.id } }
  - { http: POST ${peer}, json: { id: "\${{ event.data.id }}" } }
`,
  "fill.yaml": "when: { event: fill }\nlimit: none\nif: event.data.id < 0\nthen: [{ log: never }]\n",
});

interface Measured {
  accepts: number;
  flows: number;
  /** Milliseconds. */
  receipt: number;
  woken: number;
  /** Milliseconds of a run of three steps, one at a time, where it is decided and on another replica. */
  local: number;
  remote: number | undefined;
}

/** Several replicas on PostgreSQL beside one program on a data folder. */
export async function replicas(lab: Lab): Promise<Part> {
  await using peer = await Peer.start();
  const files = { ...rules(peer.url), "whenthen.yaml": SETTINGS };
  const measured = new Map<string, Measured>();
  {
    await using server = await lab.start(lab.binary, files);
    measured.set("a data folder", await measure(lab, peer, "a data folder", [server]));
  }
  for (const roundTrip of [0, NEAR]) {
    for (const count of [1, 2, 3]) {
      const name = `${count} on a database, ${roundTrip} ms`;
      await using cluster = await Cluster.start(lab, files, count, roundTrip);
      const { decider, followers } = await cluster.roles();
      measured.set(name, await measure(lab, peer, name, [decider, ...followers]));
    }
  }
  const written = await walPerEvent(lab, files);
  const ended = await ends(lab, rules(peer.url));
  return report(measured, written, ended);
}

/** @param servers the one that decides first */
async function measure(lab: Lab, peer: Peer, name: string, servers: Server[]): Promise<Measured> {
  const seconds = Math.max(3, lab.seconds / 20);
  lab.say(`${name}, ${Math.round(seconds)} s each`);
  const connections = Math.floor(CONNECTIONS / servers.length);
  const all = async (job: { paths: string[]; rate?: number; seconds?: number }) => {
    const loads = await Promise.all(servers.map((server) => lab.load(server, { seconds, connections, ...job })));
    const failed = loads.find(({ failed }) => failed > 0);
    if (failed !== undefined) throw new Error(`${name}: ${failed.failed} of ${job.paths} failed: ${failed.failure}`);
    return loads;
  };
  const sum = (loads: { rate: number }[]) => loads.reduce((sum, { rate }) => sum + rate, 0);
  await all({ paths: ["/hooks/in", "/hooks/flow"], seconds: 3 });
  const accepts = sum(await all({ paths: ["/hooks/in"] }));
  await settled(servers);
  const flows = sum(await all({ paths: ["/hooks/flow"] }));
  await settled(servers);
  const receipts = await all({ paths: ["/hooks/in"], rate: RATE / servers.length });
  const alone = (server: Server) => lab.load(server, { paths: ["/hooks/flow"], seconds: 3, connections: 1 });
  const [decider, follower] = servers;
  const measured = {
    accepts,
    flows,
    receipt: Math.max(...receipts.map(({ p99 }) => p99)),
    woken: await wokenIn(peer, servers),
    local: (await alone(decider)).p50,
    remote: follower && (await alone(follower)).p50,
  };
  // A later measurement that fails must not lose those of minutes.
  const numbers = Object.entries(measured).map(([what, value]) => `${what} ${value?.toFixed(1)}`);
  lab.say(numbers.join(", "));
  return measured;
}

/** Waits until no run is behind. */
async function settled(servers: Server[]): Promise<void> {
  for (const server of servers) {
    for (const state of ["queued", "running"]) {
      while ((await (await fetch(`${server.url}/api/runs?state=${state}&limit=1`)).json()).length > 0) await pause(50);
    }
  }
}

/** Milliseconds from sending an event to one replica to the request of a run on another that waits for it; the 99th percentile. */
async function wokenIn(peer: Peer, servers: Server[]): Promise<number> {
  const times: number[] = [];
  for (let id = 0; id < WAITS; id++) {
    const [one, other] = [servers[id % servers.length], servers[(id + 1) % servers.length]];
    const { runs: [run] } = await post(one, "/hooks/wait", { id });
    while ((await (await fetch(`${one.url}/api/runs/${run}`)).json()).run?.state !== "waiting") await pause(2);
    const arrived = peer.next();
    const sent = performance.now();
    await post(other, "/events", { type: "paid", source: "bench", id: `${id} ${Math.random()}`, data: { id } });
    times.push(await arrived - sent);
  }
  return quantile(times, 0.99);
}

/** Bytes in the log of the database for each event with a run of one step. */
async function walPerEvent(lab: Lab, files: Record<string, string>): Promise<number> {
  lab.say(`the database's log, events of ${SMALL} bytes`);
  await using cluster = await Cluster.start(lab, files, 2, 0);
  const job = {
    paths: ["/hooks/in"],
    bytes: SMALL,
    seconds: Math.max(5, lab.seconds / 20),
    connections: CONNECTIONS / 2,
  };
  const load = () => Promise.all(cluster.servers.map((server) => lab.load(server, job)));
  await load();
  await settled(cluster.servers);
  const before = await cluster.walBytes();
  const loads = await load();
  await settled(cluster.servers);
  return (await cluster.walBytes() - before) / loads.reduce((sum, { answered }) => sum + answered, 0);
}

/** Milliseconds without a receipt at those that stay when the one that decides is ended, by signal; and the number of identities. */
async function ends(lab: Lab, files: Record<string, string>) {
  const count = lab.seconds < 60 ? SHORT : IDENTITIES;
  await using cluster = await Cluster.start(lab, files, 3, 0);
  lab.say(`filling a database with ${count.toLocaleString("en")} identities`);
  await fill(cluster, count);
  const gaps = { SIGKILL: [] as number[], SIGTERM: [] as number[] };
  for (let round = 0; round < ENDS; round++) {
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      lab.say(`the one that decides is ended by ${signal}`);
      const { decider, followers } = await cluster.roles();
      gaps[signal].push(await longestGap(followers, () => cluster.end(decider, signal)));
      await cluster.add();
    }
  }
  return { count, kill: median(gaps.SIGKILL), term: median(gaps.SIGTERM), gaps };
}

async function fill({ servers }: Cluster, count: number): Promise<void> {
  let next = 0;
  const headers = { "content-type": "application/cloudevents-batch+json" };
  await Promise.all(Array.from({ length: 4 }, async (_, index) => {
    while (next < count) {
      const first = next;
      next += BATCH;
      const events = Array.from({ length: BATCH }, (_, at) => {
        return {
          specversion: "1.0",
          source: "bench",
          type: "fill",
          id: `fill ${first + at}`,
          data: { id: first + at },
        };
      });
      const init = { method: "POST", headers, body: JSON.stringify(events) };
      const response = await fetch(`${servers[index % servers.length].url}/events`, init);
      const text = await response.text();
      if (!response.ok) throw new Error(`A batch was answered ${response.status}: ${text.slice(0, 200)}`);
    }
  }));
}

/** Sends 100 events a second while something happens. @returns the longest time without a receipt, in milliseconds */
async function longestGap(servers: Server[], work: () => Promise<void>): Promise<number> {
  const times = [performance.now()];
  const pending = new Set<Promise<void>>();
  let isOver = false;
  const send = (number: number) => {
    const sent = post(servers[number % servers.length], "/hooks/in", { id: number })
      // Refused, as nobody decides yet.
      .then(() => void times.push(performance.now()), () => {})
      .finally(() => pending.delete(sent));
    pending.add(sent);
  };
  const sending = (async () => {
    for (let number = 0; !isOver; number++, await pause(10)) send(number);
  })();
  await pause(1_000);
  const began = performance.now();
  await work();
  while (times.filter((at) => at > began).length < 200 || performance.now() < began + 6_000) await pause(50);
  isOver = true;
  await sending;
  await Promise.all(pending);
  return Math.max(...times.slice(1).map((at, index) => at - times[index]));
}

async function post(server: Server, path: string, body: unknown) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(server.url + path, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${text.slice(0, 200)}`);
  return JSON.parse(text);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Where runs send a request once they are woken. */
class Peer implements AsyncDisposable {
  #arrived: ((at: number) => void) | undefined;
  readonly #server = createServer((_, response) => {
    this.#arrived?.(performance.now());
    response.end("{}");
  });

  static async start(): Promise<Peer> {
    const peer = new Peer();
    await new Promise<void>((resolve) => peer.#server.listen(0, "127.0.0.1", resolve));
    return peer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}/`;
  }

  /** When the next request arrives. */
  next(): Promise<number> {
    return new Promise((resolve) => this.#arrived = resolve);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function report(measured: Map<string, Measured>, written: number, ended: Awaited<ReturnType<typeof ends>>): Part {
  const two = measured.get("2 on a database, 0 ms")!;
  const near = measured.get(`2 on a database, ${NEAR} ms`)!;
  const identities = ended.count.toLocaleString("en");
  const list = (values: number[]) => values.map((value) => Math.round(value)).join(", ");
  const rows: Row[] = [
    ...[...measured].map(([name, { accepts }]) => ({ what: `accepts, ${name}`, value: accepts, unit: "/s" })),
    ...[...measured].map(([name, { flows }]) => ({ what: `runs of three steps, ${name}`, value: flows, unit: "/s" })),
    ...[...measured].map(([name, { receipt }]) => ({
      what: `receipt p99 at ${RATE}/s, ${name}`,
      value: receipt,
      unit: "ms",
    })),
    ...[...measured].map(([name, { woken }]) => ({ what: `a wait is woken p99, ${name}`, value: woken, unit: "ms" })),
    ...[...measured].map(([name, { local, remote }]) => ({
      what: `a run of three steps p50, ${name}`,
      value: local,
      unit: "ms",
      ...remote !== undefined && { note: `on a replica that follows ${remote.toFixed(2)} ms` },
    })),
    { what: "the database's log, of an event with its run", value: written, unit: "bytes" },
    { what: `kill -9, ${identities} identities`, value: ended.kill, unit: "ms", note: list(ended.gaps.SIGKILL) },
    { what: `SIGTERM, ${identities} identities`, value: ended.term, unit: "ms", note: list(ended.gaps.SIGTERM) },
  ];
  const full = (value: number) => ended.count === IDENTITIES ? value : undefined;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const rate = (value: number) => `${Math.round(value).toLocaleString("en")}/s`;
  return {
    title: "Replicas on PostgreSQL, beside a data folder",
    rows,
    aims: [
      ...aimFor("replicas: 20,000 accepts a second with two", two.accepts, (value) => value >= 20_000, rate),
      ...aimFor("replicas: 8,000 runs of three steps a second with two", two.flows, (value) => value >= 8_000, rate),
      ...aimFor("replicas: receipt p99 at 500/s, 15 ms", two.receipt, (value) => value <= 15, ms),
      ...aimFor("replicas: a wait on another one woken, p99 50 ms", near.woken, (value) => value <= 50, ms),
      // A run of three steps waits five times for the database: to be accepted, for each step, for its reply.
      ...aimFor(
        "replicas: a remote step 2 ms over a local one",
        (two.remote! - two.local) / 5,
        (value) => value <= 2,
        ms,
      ),
      ...aimFor("replicas: decisions 4 s after kill -9, a million identities", full(ended.kill), (v) => v <= 4_000, ms),
      ...aimFor("replicas: decisions 0.5 s after SIGTERM, a million identities", full(ended.term), (v) => v <= 500, ms),
      ...aimFor(
        "replicas: 900 bytes of the database's log an event",
        written,
        (v) => v <= 900,
        (v) => `${Math.round(v)} bytes`,
      ),
    ],
  };
}
