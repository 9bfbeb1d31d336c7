import assert from "node:assert/strict";
import type { TaskResult } from "../../runtime/model/fleet.ts";
import { LINE_PLATFORM, listed, numbered, PACE, played, Simulator, STILL, until } from "./harness.ts";
import { list, named, Replicas } from "./replicas.ts";

Deno.test("7 devices over 2 replicas are 4 + 3; an eighth comes without a move; each has one session, somewhere", async () => {
  await using replicas = await Replicas.with(played([], PACE), ["A", "B"]);
  await list(replicas, named(7), PACE);
  await replicas.reach({ A: 4, B: 3 });
  await replicas.allIn("reachable", 7);
  const inits = () => replicas.logs().filter((line) => / init /.test(line));
  const before = inits().map((line) => line.slice(3)).sort();
  assert.deepEqual(before, named(7).map(({ name }) => `init ${name}`));
  await list(replicas, named(8), PACE);
  await replicas.reach({ A: 4, B: 4 });
  await replicas.allIn("reachable", 8);
  assert.equal(inits().length, 8);
  assert.ok(!replicas.logs().some((line) => line.includes("stop")));
  const view = (await replicas.plants.get("A")!.fleets.device("play", "d7"))!;
  assert.deepEqual([view.owner, view.state], [{ replica: "B", host: "host-B", address: "http://B" }, "reachable"]);
  assert.equal(replicas.plants.get("B")!.counts("play").reachable, 8);
});

Deno.test("a new replica gets devices without an event of them; those that moved have ended at their old place first", async () => {
  await using replicas = await Replicas.with(played(named(12), PACE), ["A"]);
  await replicas.reach({ A: 12 });
  await replicas.allIn("reachable", 12);
  const a = replicas.plants.get("A")!;
  const events = (await a.events()).length;
  await replicas.join("B");
  await replicas.reach({ A: 8, B: 4 });
  await replicas.allIn("reachable", 12);
  await until(
    () => replicas.plants.get("B")!.logs.filter((line) => line.startsWith("init")),
    (inits) => inits.length === 4,
  );
  assert.equal(a.logs.filter((line) => line.startsWith("stop ")).length, 4);
  assert.equal((await a.events()).length, events, "a move emits nothing");
});

Deno.test("a replica that dies, also the one that decides: only its devices get new owners, in the state in which they were", async () => {
  const devices = [...named(8), { name: "dead", ping: "throw" }];
  const more = `${PACE}init: { again: 1h }\n`;
  await using replicas = await Replicas.with(played([], more), ["A", "B", "C"]);
  await list(replicas, devices, more);
  await replicas.reach({ A: 3, B: 3, C: 3 });
  await until(
    () => replicas.devices(),
    (all) => all.filter(({ state }) => state === "reachable").length === 8 && all.some(({ state }) => state === "dead"),
  );
  const before = await replicas.devices();
  const owner = before.find(({ device }) => device === "dead")!.owner!.replica;
  const events = await replicas.plants.get("B")!.events();
  await replicas.die("A");
  await until(() => replicas.spread(), (spread) => spread.B + spread.C === 9);
  await until(() => replicas.devices(), (all) => all.every(({ state }) => state === "reachable" || state === "dead"));
  const after = await replicas.devices();
  for (const { device, owner } of before) {
    const now = after.find((each) => each.device === device)!.owner!.replica;
    if (owner!.replica !== "A") assert.equal(now, owner!.replica, `${device} stays`);
  }
  const dead = after.find(({ device }) => device === "dead")!;
  assert.deepEqual([dead.state, dead.again], ["dead", before.find(({ device }) => device === "dead")!.again], owner);
  assert.deepEqual(await replicas.plants.get("B")!.events(), events, "nobody is told again");
});

Deno.test("a task reaches devices wherever they are, from any replica; an absent one fails alone", async () => {
  await using replicas = await Replicas.with(played([], STILL), ["A", "B"]);
  await list(replicas, named(7), STILL);
  await replicas.reach({ A: 4, B: 3 });
  await replicas.allIn("initialized", 7);
  for (const plant of replicas.plants.values()) {
    const results: TaskResult[] = [];
    const to = [...named(7).map(({ name }) => name), "absent"];
    const order = { fleet: "play", task: "slow", to, inputs: { ms: 10 }, job: "j", max: 1 };
    await plant.fleets.task(order, (slice) => void results.push(...slice));
    assert.deepEqual(results.map(({ device }) => device).sort(), [...to].sort());
    const failed = results.filter(({ success }) => !success);
    assert.deepEqual(failed.map(({ device, error }) => [device, error]), [["absent", "there is no such device"]]);
    assert.deepEqual(results.find(({ device }) => device === "d6")!.return, "d6");
  }
  assert.equal(replicas.logs().filter((line) => line.includes("task d0")).length, 2);
  const all: TaskResult[] = [];
  const b = replicas.plants.get("B")!;
  await b.fleets.task(
    { fleet: "play", task: "slow", to: "all", inputs: { ms: 1 }, job: "k" },
    (r) => void all.push(...r),
  );
  assert.equal(all.filter(({ success }) => success).length, 7);
  const wrong = b.fleets.task({ fleet: "play", task: "nope", to: "all", inputs: {}, job: "l" }, () => {});
  await assert.rejects(wrong, /play has no task "nope"/);
  assert.deepEqual(await b.store.listOrders("A"), []);
});

Deno.test("a task that is aborted is aborted at the owner; one whose owner dies goes to the next owner", async () => {
  await using replicas = await Replicas.with(played([], STILL), ["A", "B"]);
  await list(replicas, named(2), STILL);
  await replicas.reach({ A: 1, B: 1 });
  await replicas.allIn("initialized", 2);
  const a = replicas.plants.get("A")!;
  const theirs = (await replicas.devices()).find(({ owner }) => owner!.replica === "B")!.device;
  const abort = new AbortController();
  const order = { fleet: "play", task: "slow", to: [theirs], inputs: { ms: 60_000 }, job: "j", timeout: 90_000 };
  const aborted = a.fleets.task({ ...order, signal: abort.signal }, () => {});
  const b = replicas.plants.get("B")!;
  await until(() => b.logs, (logs) => logs.includes(`task ${theirs}`));
  abort.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  await until(() => replicas.store.listOrders("B"), (orders) => orders.length === 0);

  const results: TaskResult[] = [];
  const sent = a.fleets.task({ ...order, inputs: { ms: 500 }, job: "k" }, (slice) => void results.push(...slice));
  await until(() => b.logs.filter((line) => line === `task ${theirs}`), (lines) => lines.length === 2);
  await replicas.die("B");
  await sent;
  assert.deepEqual(results.map(({ device, success }) => [device, success]), [[theirs, true]]);
  assert.ok(a.logs.includes(`task ${theirs}`), "its next owner has done it");
});

Deno.test("a device that is removed, or whose item changes, is so at its owner; again is told to its owner", async () => {
  const devices = [...named(3), { name: "odd", init: "throw" }];
  const more = `${STILL}init: { again: 1h }\n`;
  await using replicas = await Replicas.with(played([], more), ["A", "B"]);
  await list(replicas, devices, more);
  await replicas.reach({ A: 2, B: 2 });
  await until(() => replicas.devices(), (all) => all.filter(({ state }) => state === "initialized").length === 3);
  const odd = (await replicas.devices()).find(({ device }) => device === "odd")!;
  assert.equal(odd.state, "failed");
  const other = [...replicas.plants].find(([id]) => id !== odd.owner!.replica)![1];
  assert.equal(await other.fleets.again("play", "odd"), true);
  await until(
    () => other.fleets.device("play", "odd"),
    (now) => now!.state === "failed" && now!.since > odd.since && now!.again! > odd.again!,
  );

  await list(replicas, [{ name: "d0", init: "wait 1" }, { name: "d1" }, { name: "odd", init: "throw" }], more);
  await until(() => replicas.devices(), (all) => all.length === 3);
  await until(() => replicas.logs().filter((line) => line.endsWith("init d0")), (lines) => lines.length === 2);
  assert.equal(replicas.logs().filter((line) => line.endsWith("stop d2")).length, 1);
  await until(() => replicas.devices(), (all) => (all[0].data as { init?: string }).init === "wait 1");
});

Deno.test("what a former owner still says of a device is refused", async () => {
  await using replicas = await Replicas.with(played(named(1), STILL), ["A"]);
  await replicas.allIn("initialized", 1);
  const { store } = replicas;
  const [{ epoch }] = await store.listPlaces("play", 1);
  const say = (epoch: number, replica: string) =>
    store.changeDevices({
      fleet: "play",
      holder: { replica, held: [["d0", epoch]] },
      reports: [["d0", { state: "dead", since: 1 }]],
      stopped: [],
      events: [{ type: "whenthen.device.dead", subject: "d0", data: {} }],
    }, Date.now());
  await say(epoch - 1, "A");
  await say(epoch, "B");
  const a = replicas.plants.get("A")!;
  assert.ok(!(await a.events()).includes("dead d0"));
  assert.equal((await replicas.devices())[0].state, "initialized");
  await say(epoch, "A");
  assert.ok((await a.events()).includes("dead d0"));
  assert.equal((await replicas.devices())[0].state, "dead");
});

Deno.test("a replica with another version of a fleet gets no devices from one that decides", async () => {
  await using replicas = await Replicas.with(played(named(4), STILL), ["A"]);
  await replicas.reach({ A: 4 });
  await replicas.join("B", played(named(4), `${STILL}init: { max: 7 }\n`));
  await until(() => replicas.store.listCarried(), (carried) => carried.get("play")!.size === 2);
  await replicas.join("C");
  await replicas.die("A");
  await replicas.reach({ B: 4 });
});

Deno.test("a replica that no longer has a fleet releases its devices to one that has it", async () => {
  await using replicas = await Replicas.with(played([], STILL), ["A", "B"]);
  await list(replicas, named(4), STILL);
  await replicas.reach({ A: 2, B: 2 });
  await replicas.allIn("initialized", 4);
  const b = replicas.plants.get("B")!;
  await b.folder.remove("play.yaml");
  await b.reload();
  await replicas.reach({ A: 4 });
  assert.equal(b.logs.filter((line) => line.startsWith("stop ")).length, 2);
});

Deno.test("real connections: 60 devices over 3 replicas, each with one connection, also after one replica has ended", async () => {
  await using simulator = await Simulator.start();
  const files = {
    "line.ts": LINE_PLATFORM,
    "line.yaml": `devices: []\nkey: item.name\ndevice: ./line.ts\n${PACE}`,
  };
  await using replicas = await Replicas.with(files, ["A", "B", "C"]);
  const full = { "line.yaml": `${listed(numbered(60), simulator.port)}device: ./line.ts\n${PACE}` };
  for (const plant of replicas.plants.values()) await plant.reload(full);
  await replicas.reach({ A: 20, B: 20, C: 20 }, "line");
  await replicas.allIn("reachable", 60, "line");
  await until(() => simulator.sockets.size, (count) => count === 60);
  await replicas.die("B");
  await replicas.reach({ A: 30, C: 30 }, "line");
  await until(() => simulator.sockets.size, (count) => count === 60);
  assert.equal(simulator.connections, 80);
});
