import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import postgres from "postgres";
import { LINE_PLATFORM, listed, numbered, Simulator } from "../fleet/harness.ts";
import { isLong } from "../e2e/torture/size.ts";
import { until } from "../e2e/until.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { DatabaseServer } from "./server.ts";

const PACE = "ping: { every: [200ms, 400ms], timeout: 1s, down: 2 }\n";

interface Shown {
  device: string;
  state: string;
  owner?: { replica: string };
}

/** Devices by replica, as one of those that are up lists them; `none` for those that nobody has. */
async function spread(replicas: Replicas): Promise<Record<string, string[]>> {
  const [replica] = replicas.up;
  const [devices, members] = await Promise.all([replica.api("devices?limit=1000"), replica.members()]);
  const names = new Map(members.map(({ id, pid }) => [id, replicas.all.find((each) => each.pid === pid)?.name]));
  const found: Record<string, string[]> = {};
  for (const { device, owner, state } of devices as unknown as Shown[]) {
    const name = (state === "reachable" && owner && names.get(owner.replica)) || "none";
    (found[name] ??= []).push(device);
  }
  return found;
}

/** Waits until all devices are reachable and replicas have so many of them, in any order. @returns milliseconds that it took */
async function reach(replicas: Replicas, counts: number[], timeout?: number): Promise<number> {
  const begun = performance.now();
  const sizes = (found: Record<string, string[]>) => Object.values(found).map(({ length }) => length).sort().join();
  await until(
    `${counts} devices`,
    () => spread(replicas).catch((error): Record<string, string[]> => ({ none: [String(error)] })),
    (found) => found.none === undefined && sizes(found) === counts.toSorted().join(),
    timeout,
  );
  return performance.now() - begun;
}

Deno.test(
  "each device is looked after by one replica: spread, moved when replicas come, and taken over when they go",
  async (t) => {
    await using simulator = await Simulator.start();
    await using server = await DatabaseServer.start();
    const fleet = (count: number) => `${listed(numbered(count), simulator.port)}device: ./line.ts\n${PACE}`;
    const files = { "line.ts": LINE_PLATFORM, "line.yaml": `devices: []\nkey: item.name\ndevice: ./line.ts\n${PACE}` };
    await using replicas = await Replicas.start(await server.create(), files, { count: 2 });
    const connected = (count: number) =>
      until("sessions", () => Promise.resolve(simulator.sockets.size), (size) => size === count);

    await t.step("7 devices over 2 replicas are 4 + 3, an eighth comes without a move", async () => {
      await replicas.decider();
      // So many that each replica gets some: from then on both have the fleet.
      await replicas.write("line.yaml", fleet(14));
      const both = (found: Record<string, string[]>) => found.none === undefined && Object.keys(found).length === 2;
      await until("both replicas", () => spread(replicas).catch(() => ({ none: [] })), both);
      await replicas.write("line.yaml", files["line.yaml"]);
      await connected(0);
      await replicas.write("line.yaml", fleet(7));
      await reach(replicas, [3, 4]);
      const opened = simulator.connections;
      const before = await spread(replicas);
      await replicas.write("line.yaml", fleet(8));
      await reach(replicas, [4, 4]);
      assert.equal(simulator.connections - opened, 1);
      const after = await spread(replicas);
      for (const [name, devices] of Object.entries(before)) {
        assert.ok(devices.every((each) => after[name].includes(each)));
      }
    });

    await t.step("a new replica has devices within two intervals after it is ready", async () => {
      await replicas.write("line.yaml", fleet(24));
      await reach(replicas, [12, 12]);
      await replicas.add();
      const begun = performance.now();
      await settledSpread(replicas);
      const took = performance.now() - begun;
      assert.ok(took < 4_000, `${took} ms`);
      await connected(24);
    });

    await t.step("a task reaches all devices from each replica", async () => {
      for (const replica of replicas.up) {
        const sent = await replica.post("/api/fleets/line/tasks", { task: "read", to: "all", inputs: { register: 7 } });
        assert.equal(sent.status, 202, JSON.stringify(sent.body));
        const done = await until(
          "the task",
          () => replica.api(`tasks/${sent.body.runs[0]}`),
          ({ state }) => state !== "queued" && state !== "running" && state !== "waiting",
        );
        assert.deepEqual([done.state, done.total, done.failed], ["succeeded", 24, 0], JSON.stringify(done));
      }
    });

    await t.step("one that does not decide is killed: all are owned again within 6 s", async () => {
      await settledSpread(replicas);
      const [follower] = await replicas.followers();
      await follower.kill();
      const took = await owned(replicas, 24);
      assert.ok(took < 6_000, `${took} ms`);
      await connected(24);
      await follower.launch();
      await follower.ready();
    });

    await t.step("the one that decides is killed: likewise", async () => {
      await settledSpread(replicas);
      const decider = await replicas.decider();
      await decider.kill();
      const took = await owned(replicas, 24);
      assert.ok(took < 6_000, `${took} ms`);
      await connected(24);
      await decider.launch();
      await decider.ready();
    });

    await t.step("a silent one: likewise, and when it wakes it does nothing with them", async () => {
      await settledSpread(replicas);
      const [follower] = await replicas.followers();
      follower.freeze();
      const took = await owned(replicas, 24);
      assert.ok(took < 6_000, `${took} ms`);
      follower.thaw();
      await follower.ready();
      await settledSpread(replicas);
      await connected(24);
      const devices = await replicas.up[0].api("devices?limit=1000") as unknown as Shown[];
      assert.ok(devices.every(({ state }) => state === "reachable"));
    });
  },
);

/** Waits until replicas that are up own all devices. @returns milliseconds that it took */
async function owned(replicas: Replicas, count: number): Promise<number> {
  const begun = performance.now();
  await until(
    "owners of all devices",
    () => spread(replicas).catch((error): Record<string, string[]> => ({ none: [String(error)] })),
    (found) => {
      const up = replicas.up.map(({ name }) => found[name]?.length ?? 0);
      return up.reduce((sum, each) => sum + each, 0) === count;
    },
  );
  return performance.now() - begun;
}

/** Waits until all replicas that are up have devices, and differ by no more than 5. @returns how many each has */
async function settledSpread(replicas: Replicas): Promise<number[]> {
  const found = await until(
    "devices on all replicas",
    () => spread(replicas).catch((error): Record<string, string[]> => ({ none: [String(error)] })),
    (found) => {
      const counts = replicas.up.map(({ name }) => found[name]?.length ?? 0);
      return found.none === undefined && Math.min(...counts) > 0 && Math.max(...counts) - Math.min(...counts) <= 5;
    },
  );
  return Object.values(found).map(({ length }) => length);
}

/** Milliseconds for each part of the long form. */
const LONG = 600_000;

Deno.test("100,000 devices over three replicas survive a kill of each kind", { ignore: !isLong }, async () => {
  const count = 100_000;
  const files = {
    "list.ts": `export const list = () => Array.from({ length: ${count} }, (_, index) => ({ name: "d" + index }));\n`,
    "line.ts": 'import { device, task } from "whenthen";\n' +
      "export default device({ init: () => ({}), ping: () => {}, tasks: { hello: task({ run: () => 1 }) } });\n",
    "line.yaml": `devices: { poll: { call: ./list.ts#list }, every: 1h, max: ${count} }\nkey: item.name\n` +
      "device: ./line.ts\nping: { every: [60s, 120s], timeout: 10s, down: 2 }\ninit: { max: 2000 }\n",
  };
  await using server = await DatabaseServer.start();
  await using replicas = await Replicas.start(await server.create(), files, { count: 3 });
  const wal = postgres(replicas.url, { max: 1 });
  const written = async () => {
    const [{ bytes }] = await wal`select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as bytes`;
    return Number(bytes);
  };
  let [since, bytes] = [performance.now(), await written()];
  const tell = async (what: string) => {
    const now = await written();
    const memory = replicas.up.map((each) => `${each.name} ${megabytesOf(each)} MB`).join(", ");
    const seconds = ((performance.now() - since) / 1_000).toFixed(1);
    console.log(`${what}: ${seconds} s, WAL ${((now - bytes) / 1e6).toFixed(0)} MB, most memory so far ${memory}`);
    [since, bytes] = [performance.now(), await written()];
  };
  /** All devices have an owner that is up, and that has reported a state with a session. */
  const settled = async (gone?: number) => {
    const [replica] = replicas.up;
    await until(
      "owners of all devices",
      async () => {
        try {
          const members = await replica.members();
          const { total, counts } = await replica.api("fleets/line");
          return { pids: members.map(({ pid }) => pid), total, counts };
        } catch (error) {
          return String(error);
        }
      },
      (seen) =>
        typeof seen === "object" && !seen.pids.includes(gone!) && seen.total === count &&
        seen.counts.initialized + seen.counts.reachable === count,
      LONG,
    );
  };
  await settled();
  await tell("the first sessions");
  for (const find of [async () => (await replicas.followers())[0], () => replicas.decider()]) {
    const victim = await find();
    const { pid } = victim;
    const decides = victim === await replicas.decider();
    [since, bytes] = [performance.now(), await written()];
    await victim.kill();
    await settled(pid);
    await tell(`${decides ? "the one that decides" : "a follower"} was killed, all are owned again`);
  }
  const [left] = replicas.up;
  const sent = await left.post("/api/fleets/line/tasks", { task: "hello", to: "all", inputs: {} }, LONG);
  assert.equal(sent.status, 202, JSON.stringify(sent.body));
  const done = await until(
    "the task",
    () => left.api(`tasks/${sent.body.runs[0]}`),
    ({ state }) => state !== "queued" && state !== "running" && state !== "waiting",
    LONG,
  );
  assert.deepEqual([done.state, done.total, done.failed], ["succeeded", count, 0]);
  await tell("a task to all");
  await wal.end();
});

/** The most memory that a replica has had, by the kernel. */
function megabytesOf({ pid }: Replica): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1_000);
}
