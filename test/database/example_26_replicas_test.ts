import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parse } from "yaml";
import type { EventRecord } from "../../runtime/store/store.ts";
import type { ReplicaListing } from "../../runtime/web/replicas.ts";
import { type Answered, type Program, temporaryFolder, whenthen, whenthenAsk } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { copyExample } from "../examples/example.ts";
import { DatabaseServer, freePort } from "./server.ts";

const SECRETS = { WHENTHEN_TOKEN: "a-long-random-text", DATABASE_PASSWORD: "not-used-by-this-server" };

/** The part of a service in `compose.yaml` that says which program runs, and how. */
interface Service {
  build?: string;
  entrypoint?: string[];
  command?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  healthcheck: { test: string[] };
}

/** A replica of the file: a process on this machine instead of a container. */
interface Replica {
  name: string;
  port: number;
  start(): Program;
  /** Runs the check of the container's health. */
  check(): Promise<number | null>;
}

/** What `docker compose up` would start, on a database of this machine. @param scratch for what containers keep */
async function replicasOf(folder: string, database: string, scratch: string): Promise<Replica[]> {
  const text = await readFile(join(folder, "compose.yaml"), "utf8");
  const given = text.replaceAll(/\$\{(\w+)(:\?[^}]*)?\}/g, (_, name: keyof typeof SECRETS) => SECRETS[name]);
  const { services } = parse(given) as { services: Record<string, Service> };
  const built = Object.entries(services).filter(([, { build }]) => build === "../11-container");
  return await Promise.all(built.map(async ([name, { entrypoint = [], command = [], ...service }]) => {
    const [[source, inside]] = service.volumes!.map((volume) => volume.split(":"));
    const port = await freePort();
    const here = (word: string) =>
      word.replace(/^postgres:.+@database:5432\/whenthen$/, database)
        .replace(inside, join(folder, source)).replace(/^0\.0\.0\.0$/, "127.0.0.1");
    const [init, end, program, ...first] = entrypoint;
    assert.deepEqual([init, end, program], ["/sbin/tini", "--", "/usr/local/bin/whenthen"]);
    const env = { ...service.environment, XDG_CACHE_HOME: join(scratch, name) };
    const [kind, checker, ...words] = service.healthcheck.test;
    assert.deepEqual([kind, checker], ["CMD", program]);
    return {
      name,
      port,
      start: () => whenthenAsk([...first, ...command, "--port", String(port)].map(here), { env }),
      check: async () => (await whenthen(words.map(here), { env })).code,
    };
  }));
}

/** The proxy of the file, in front of the replicas. */
class Proxy implements AsyncDisposable {
  private constructor(private readonly child: ChildProcess, readonly url: string) {}

  static async start(folder: string, replicas: Replica[]): Promise<Proxy> {
    const port = await freePort();
    let config = await readFile(join(folder, "haproxy.cfg"), "utf8");
    const change = (from: string, to: string) => {
      assert.ok(config.includes(from), `haproxy.cfg has no "${from}"`);
      config = config.replace(from, to);
    };
    change("bind :8080", `bind 127.0.0.1:${port}`);
    for (const { name, port } of replicas) change(`server ${name} ${name}:8080`, `server ${name} 127.0.0.1:${port}`);
    const path = join(folder, "here.cfg");
    await writeFile(path, config);
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
    return new Proxy(spawn("haproxy", ["-f", path], { env, stdio: "ignore" }), `http://127.0.0.1:${port}`);
  }

  /** The status and the answer; 0 while nobody listens. */
  async post(path: string, body: object): Promise<{ status: number; body: Answered }> {
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(this.url + path, init).catch(() => undefined);
    const text = await response?.text() ?? "";
    return { status: response?.status ?? 0, body: text.startsWith("{") ? JSON.parse(text) : text };
  }

  async api(path: string): Promise<Answered> {
    const headers = { authorization: `Bearer ${SECRETS.WHENTHEN_TOKEN}` };
    return await (await fetch(`${this.url}/api/${path}`, { headers })).json();
  }

  /** Sends it again until it is taken, as senders of webhooks do. @returns the last answer */
  deliver(path: string, body: object): Promise<Answered> {
    const taken = ({ status }: { status: number }) => status === 200 || status === 202;
    return until(`${path} to take ${JSON.stringify(body)}`, () => this.post(path, body), taken)
      .then(({ body }) => body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.child.on("close", resolve));
    if (this.child.kill("SIGKILL")) await ended;
  }
}

const ORDERS = 30;
/** The order before which the one that decides is killed. */
const KILLED = 10;

Deno.test("example 26: three replicas behind a proxy take, execute and share everything; the one that decides is killed", async () => {
  await using server = await DatabaseServer.start();
  await using folder = await copyExample("26-replicas");
  await using scratch = await temporaryFolder();
  // A minute is long for a test.
  const pulse = await readFile(join(folder.rules, "rules/pulse.yaml"), "utf8");
  await folder.write("rules/pulse.yaml", pulse.replace("every: 1m", "every: 1s"));
  const replicas = await replicasOf(folder.rules, await server.create(), scratch.path);
  assert.equal(replicas.length, 3);
  await using stack = new AsyncDisposableStack();
  const programs = new Map(replicas.map(({ name, start }) => [name, stack.use(start())]));
  await using proxy = await Proxy.start(folder.rules, replicas);
  const listed = (): Promise<ReplicaListing[]> => proxy.api("replicas").catch(() => []);
  const areAlive = (count: number) => (list: ReplicaListing[]) =>
    list.length === count && list.every(({ state, address }) => state === "alive" && address !== null);
  const first = await until("three replicas", listed, areAlive(3));
  assert.equal(first.filter(({ decides }) => decides).length, 1);
  for (const { name, check } of replicas) assert.equal(await check(), 0, name);

  const runs = new Map<string, string>();
  for (let at = 0; at < ORDERS; at++) {
    if (at === KILLED) {
      const { pid } = first.find(({ decides }) => decides)!;
      const [name, dead] = [...programs].find(([, { child }]) => child.pid === pid)!;
      await dead.kill();
      // As compose restarts a container.
      programs.set(name, stack.use(replicas.find((each) => each.name === name)!.start()));
    }
    const id = `A${at}`;
    const { runs: [run] } = await proxy.deliver("/hooks/order", { id });
    runs.set(id, run);
    // Sent again, to the next replica.
    if (at % 3 === 0) assert.deepEqual((await proxy.deliver("/hooks/order", { id })).runs, [run]);
  }
  assert.equal(new Set(runs.values()).size, ORDERS);
  for (const id of runs.keys()) {
    const { paid, duplicate } = await proxy.deliver("/hooks/paid", { id });
    assert.ok(paid === id || duplicate, id);
  }
  for (const [id, run] of runs) {
    const done = (trace: Answered) => trace.run?.state === "succeeded";
    const { steps } = await until(`the run of ${id}`, () => proxy.api(`runs/${run}`), done);
    assert.deepEqual(
      steps.filter(({ kind }: Answered) => kind === "log").map(({ path }: Answered) => path).length,
      2,
      id,
    );
  }
  const orders: EventRecord[] = await proxy.api("events?rule=order&limit=500");
  assert.equal(orders.filter(({ event }) => event.type !== "order.paid").length, ORDERS, "each order is one event");
  const again = await until("three replicas again", listed, areAlive(3));
  assert.equal(again.filter(({ decides }) => decides).length, 1);
  const pulses: EventRecord[] = await proxy.api("events?rule=pulse&limit=500");
  const seconds = pulses.map(({ event }) => event.time);
  assert.ok(seconds.length > 1);
  assert.deepEqual(seconds, [...new Set(seconds)], "each second is one event, not one of each replica");
  for (const program of programs.values()) assert.equal(await program.stop(), 0, program.output);
});
