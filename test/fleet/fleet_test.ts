import assert from "node:assert/strict";
import { join } from "node:path";
import { DeviceLog } from "../../runtime/fleet/device_log.ts";
import { LiveFleets } from "../../runtime/fleet/fleets.ts";
import { Sessions } from "../../runtime/fleet/sessions.ts";
import { systemClock } from "../../runtime/host/clock.ts";
import { BLOCK } from "../workers/harness.ts";
import {
  HELD,
  LINE_PLATFORM,
  listed,
  numbered,
  PACE,
  Plant,
  PLAY_PLATFORM,
  played,
  Simulator,
  STILL,
  until,
} from "./harness.ts";
import { timedSessions } from "./timed_sessions.ts";

const QUICK =
  "ping: { every: [50ms, 100ms], timeout: 20s, down: 2 }\ninit: { timeout: 20s, again: 1h }\ndevice: ./line.ts\n";

Deno.test("devices get sessions, are pinged, and do tasks; a failed ping, then a good one, keeps a device alive", async () => {
  await using simulator = await Simulator.start();
  await using plant = await Plant.with({
    "line.ts": LINE_PLATFORM,
    "plant/line.yaml": listed(["a", "b"], simulator.port) + QUICK.replace("./line.ts", "../line.ts"),
  });
  await plant.reach("plant/line", "reachable", 2);
  const view = await plant.device("plant/line", "a");
  assert.equal(view.failures, 0);
  assert.deepEqual(Object.keys(view.info as object), ["local"]);
  assert.ok(view.lastPing! > 0);
  const results: unknown[] = [];
  await plant.fleets.task(
    { fleet: "plant/line", task: "read", to: ["a", "c"], inputs: { register: 7 }, job: "job-1" },
    (slice) =>
      void results.push(
        ...slice.map(({ device, success, error, return: value, job }) => ({ device, success, error, value, job })),
      ),
  );
  assert.deepEqual(results, [
    { device: "c", success: false, error: "there is no such device", value: null, job: "job-1" },
    { device: "a", success: true, error: null, value: "read 7 ok", job: "job-1" },
  ]);
  assert.deepEqual((await plant.events()).sort(), [
    "added a",
    "added b",
    "initialized a",
    "initialized b",
    "reachable a",
    "reachable b",
  ]);
});

Deno.test("1,000 devices whose init takes 100 ms are all up soon, 256 at a time", async () => {
  const devices = numbered(1_000).map((name) => ({ name, init: "wait 100" }));
  await using plant = await Plant.with(played(devices, STILL), { mostSessions: 400 });
  let most = 0;
  await until(() => plant.counts("play"), ({ initializing, initialized }) => {
    most = Math.max(most, initializing);
    return initialized === 1_000;
  });
  assert.ok(most > 0 && most <= 256, String(most));
  const some = await Promise.all(["d00000", "d00500", "d00900"].map((name) => plant.device("play", name)));
  const workers = some.map(({ info }) => (info as { worker: number }).worker);
  assert.equal(new Set(workers).size, 3, "a worker for each 400 sessions");
});

Deno.test("a ping that hangs fails at its timeout, twice makes dead, and the others keep their pace", async () => {
  const devices = [{ name: "hangs", ping: "hang" }, { name: "odd", ping: "every second" }, { name: "fine" }];
  await using plant = await Plant.with(played(devices, `${PACE}init: { again: 1h }\n`));
  await plant.reach("play", "dead", 1);
  const dead = await plant.device("play", "hangs");
  assert.deepEqual([dead.state, dead.failures, dead.error], ["dead", 2, "ping took longer than 2s"]);
  assert.ok(dead.again! > Date.now() + 3_000_000);
  const pings = (await plant.device("play", "fine")).info as { pings: number };
  assert.ok(pings.pings >= 2, `only ${pings.pings} pings meanwhile`);
  const events = await until(
    () => plant.events(),
    (events) => events.filter((each) => each === "unreachable odd").length >= 2,
  );
  assert.equal(events.filter((each) => each === "unreachable hangs").length, 2);
  assert.equal(events.filter((each) => each === "dead hangs").length, 1);
  assert.ok(!events.includes("dead odd"), "fail, ok, fail stays alive");
  assert.equal(plant.logs.filter((line) => line === "stop hangs").length, 1);
  assert.equal(await plant.fleets.again("play", "hangs"), true);
  assert.equal(await plant.fleets.again("play", "fine"), false);
  await until(() => plant.logs.filter((line) => line === "init hangs").length, (count) => count === 2);
});

Deno.test("an init that hangs or fails ends: stop, one event, later again; secrets in the error are masked", async () => {
  const devices = [{ name: "hangs", init: "hang" }, { name: "fails", init: "throw" }, { name: "fine" }];
  await using plant = await Plant.with(played(devices, `${STILL}init: { timeout: 300ms, again: 400ms, max: 1 }\n`));
  await plant.reach("play", "initialized", 1);
  const events = await until(
    () => plant.events(),
    (events) => events.filter((each) => each.startsWith("init.error")).length >= 4,
  );
  assert.equal(events.filter((each) => each.startsWith("removed")).length, 0);
  assert.ok(plant.logs.includes("stop hangs") && plant.logs.includes("stop fails"));
  const failed = plant.heard.filter(({ type, subject }) => type.endsWith("init.error") && subject === "fails");
  assert.deepEqual(failed.at(-1)!.data, { fleet: "play", device: "fails", error: "no *** answer" });
});

Deno.test("a device that is removed while its stop hangs is gone at once; a new one of its name waits for that stop", async () => {
  await using plant = await Plant.with({}, { stopTimeout: 60_000 });
  const files = (devices: object[]) => ({ ...played(devices, STILL), "play.ts": HELD });
  const hangs = files([{ name: "a", go: join(plant.folder.path, "go") }, { name: "b" }]);
  await plant.reload(hangs);
  await plant.reach("play", "initialized", 2);
  await plant.reload(files([{ name: "b" }]));
  assert.deepEqual((await plant.fleets.devices("play")).devices.map(({ device }) => device), ["b"]);
  await plant.reload(hangs);
  assert.equal(plant.counts("play").waiting, 1);
  await plant.folder.write({ go: "" });
  await plant.reach("play", "initialized", 2);
  const about = plant.logs.filter((line) => line.endsWith(" a"));
  assert.deepEqual(about, ["init a", "stop a", "ended a", "init a"]);
  assert.deepEqual((await plant.events()).filter((each) => /added|removed/.test(each)), [
    "added a",
    "added b",
    "removed a",
    "added a",
  ]);
});

Deno.test("after a restart a dead device is left alone and not told again; one that was removed meanwhile is told once, without a stop", async () => {
  const devices = [{ name: "dead", ping: "throw" }, { name: "gone" }, { name: "fine" }];
  const more = `${PACE}init: { again: 1h }\n`;
  await using plant = await Plant.with(played(devices, more));
  await plant.reach("play", "dead", 1);
  await plant.reach("play", "reachable", 2);
  await until(() => plant.events(), (events) => events.includes("dead dead"));
  await plant.stop();
  plant.logs.splice(0);
  await plant.folder.write(played([devices[0], devices[2]], more));
  await plant.start();
  await plant.reach("play", "reachable", 1);
  assert.equal((await plant.device("play", "dead")).state, "dead");
  const events = await plant.events();
  assert.equal(events.filter((each) => each === "dead dead").length, 1);
  assert.equal(events.filter((each) => each === "removed gone").length, 1);
  assert.equal(events.filter((each) => each.startsWith("added")).length, 3);
  assert.deepEqual(plant.logs, ["2 devices", "init fine"]);
});

Deno.test("a change of what the platform uses begins a new session, another one does not; an edit of every neither; a new module does", async () => {
  const fine = { name: "a", note: 1 };
  await using plant = await Plant.with(played([fine], PACE));
  await plant.reach("play", "reachable", 1);
  const count = (line: string) => plant.logs.filter((each) => each === line).length;
  await plant.reload(played([{ ...fine, note: 2 }], PACE.replace("100ms", "110ms")));
  await until(async () => (await plant.device("play", "a")).data, (data) => (data as { note: number }).note === 2);
  assert.equal((await plant.device("play", "a")).state, "reachable");
  assert.equal(count("init a"), 1);
  await plant.reload(played([{ ...fine, ping: "wait 1" }], PACE));
  await until(() => count("init a"), (inits) => inits === 2);
  assert.equal(count("stop a"), 1);
  await plant.reload({ "play.ts": PLAY_PLATFORM.replace('"init "', '"newly "') });
  await until(() => count("newly a"), (inits) => inits === 1);
  assert.equal(count("stop a"), 2);
  await plant.reach("play", "reachable", 1);
});

Deno.test("code of one device that blocks: it is named and dead, the others get new sessions silently", async () => {
  await using plant = await Plant.with({}, { blockedAfter: 2_000 });
  const go = join(plant.folder.path, "go");
  const files = played(
    [{ name: "blocks", ping: "block", go }, { name: "a" }, { name: "b" }],
    `${PACE}init: { again: 1h }\n`,
  );
  // Not before the program knows of its session: it would be its init that failed.
  files["play.ts"] = HELD.replace("act(device.ping)", 'act(device.go && !existsSync(device.go) ? "" : device.ping)');
  await plant.reload(files);
  await plant.reach("play", "reachable", 3);
  await plant.folder.write({ go: "" });
  await plant.reach("play", "dead", 1);
  assert.match((await plant.device("play", "blocks")).error!, /^play\.ts did not answer for 2s: a loop does not end$/);
  await until(() => plant.logs.filter((line) => line === "init a").length, (count) => count >= 2);
  await plant.reach("play", "reachable", 2);
  const events = await plant.events();
  assert.equal(events.filter((each) => each === "initialized a").length, 1);
  assert.ok(events.includes("dead blocks") && !events.includes("unreachable a"));
});

Deno.test("blocking code that no call can be blamed for: the worker is replaced, nobody is dead, and the fleet says so", async () => {
  const files = played([{ name: "a" }, { name: "b" }], PACE);
  // Behind an await, nobody knows whose function it was.
  files["play.ts"] = PLAY_PLATFORM.replace(
    "let pings = 0;",
    `let pings = 0; setTimeout(() => { if (process.env.BLOCKS) ${BLOCK} }, 300);`,
  );
  let starts = 0;
  await using plant = await Plant.with(files, {
    blockedAfter: 2_000,
    env: () => ({ ...starts++ === 0 && { BLOCKS: "1" } }),
  });
  await plant.reach("play", "reachable", 2);
  const problem = await until(() => plant.fleets.get("play")!.problem, (problem) => problem !== null);
  assert.equal(problem, "play.ts did not answer for 2s: a loop does not end");
  await until(() => plant.fleets.get("play")!, ({ problem, counts }) => problem === null && counts.reachable === 2);
  assert.deepEqual((await plant.events()).filter((event) => /dead|unreachable|error/.test(event)), []);
  assert.ok(starts >= 2);
});

Deno.test("a module that does not load with what it has is a problem of its fleet, and is tried again when it changes", async () => {
  const files = played([{ name: "a" }], STILL);
  const wrong = PLAY_PLATFORM.replace(
    "let pings = 0;",
    'let pings = 0; if (process.env.WORKER) throw new Error("no driver");',
  );
  await using plant = await Plant.with({ ...files, "play.ts": wrong }, { env: () => ({ WORKER: "1" }) });
  await until(
    () => plant.fleets.get("play")!.problem,
    (problem) => problem === "the platform does not load: no driver",
  );
  await plant.reload(files);
  await plant.reach("play", "initialized", 1);
  assert.equal(plant.fleets.get("play")!.problem, null);
});

Deno.test("the log keeps the last event of each kind of a device, in their order, and stores what is left at its end", async () => {
  const stored: string[] = [];
  const log = new DeviceLog("play", {
    store: {
      isOwnWanted: () => true,
      listNotices: () => Promise.resolve([]),
      changeDevices: ({ events }) => {
        stored.push(...events.map(({ type }) => type.replace("whenthen.device.", "")));
        return Promise.resolve(0);
      },
    },
    clock: systemClock,
    maskJson: (value) => value,
    onFailure() {},
  });
  for (const kind of ["unreachable", "reachable", "unreachable", "unreachable"] as const) log.add(kind, "a");
  await log.close();
  assert.deepEqual(stored, ["reachable", "unreachable"]);
  log.add("dead", "a");
  await log.settled();
  assert.deepEqual(stored.slice(2), ["dead"]);
  assert.equal(log.counts["whenthen.device.unreachable"], 3);
});

Deno.test("a session that an init makes after its timeout is stopped, and its device stays failed", async () => {
  const files = played([{ name: "a", init: "wait 300" }], `${STILL}init: { timeout: 100ms, again: 1h }\n`);
  files["play.ts"] = PLAY_PLATFORM.replace(
    'async stop({ device }) { console.log("stop " + device.name);',
    'async stop({ device, session }) { console.log("stop " + device.name + " " + JSON.stringify(session));',
  );
  await using plant = await Plant.with(files);
  await until(() => plant.logs.filter((line) => line.startsWith("stop a")), (stops) => stops.length === 2);
  assert.deepEqual(plant.logs.filter((line) => line.startsWith("stop a")), ["stop a null", 'stop a {"pings":0}']);
  assert.equal((await plant.device("play", "a")).state, "failed");
});

Deno.test("a fleet that cannot be opened says why, harms no other one, and opens when its file changes", async () => {
  await using plant = await Plant.with({ "first.yaml": "devices: [one]\n" });
  await plant.reach("first", "initialized", 1);
  let isBroken = true;
  const listStopped = plant.store.listStopped.bind(plant.store);
  plant.store.listStopped = (fleet) =>
    fleet === "broken" && isBroken ? Promise.reject(new Error("no disk")) : listStopped(fleet);
  await plant.reload({ "broken.yaml": "devices: [a]\n", "second.yaml": "devices: [two]\n" });
  await plant.reach("second", "initialized", 1);
  await until(() => plant.fleets.get("broken")!.problem, (problem) => /no disk/.test(problem ?? ""));
  const order = { fleet: "broken", task: "x", to: "all", inputs: {}, job: "j" };
  await assert.rejects(plant.fleets.task(order, () => {}), /broken: it could not be opened: no disk/);
  isBroken = false;
  await plant.reload({ "broken.yaml": "devices: [a, b]\n" });
  await plant.reach("broken", "initialized", 2);
  assert.equal(plant.fleets.get("broken")!.problem, null);
});

Deno.test("a ping that is late because the program stood still counts neither way", async () => {
  const { sessions, edges, time, pass } = timedSessions({
    platform: { ping: () => new Promise(() => {}) },
    settings: { initTimeout: 1_000, stopTimeout: 1_000, ping: { every: [100, 100], timeout: 500, down: 2 } },
  });
  sessions.init({ index: 1, name: "a", data: {}, target: undefined });
  await pass(200);
  assert.deepEqual(edges, ["initialized"], "its first ping is under way");
  time.now += 3_600_000;
  sessions.paused(3_600_000);
  await pass(50);
  assert.deepEqual(edges, ["initialized"], "a laptop that slept for an hour declares nobody dead");
  await pass(700);
  assert.deepEqual(edges, ["initialized", "unreachable"]);
  await pass(700);
  assert.deepEqual(edges, ["initialized", "unreachable", "unreachable", "dead", "stopped"]);
});

Deno.test("a fleet whose file is deleted while the program is down: removed is told once for each device, nothing of it stays; a file that does not load keeps its own", async () => {
  const devices = [{ name: "dead", ping: "throw" }, { name: "fine" }];
  const more = `${PACE}init: { again: 1h }\n`;
  const broken = "devices: [kept]\nkey: item.name.first\n";
  await using plant = await Plant.with({ ...played(devices, more), "other.yaml": "devices: [kept]\n" });
  await plant.reach("play", "dead", 1);
  await plant.reach("other", "initialized", 1);
  await until(() => plant.events(), (events) => events.includes("dead dead"));
  await plant.stop();
  await plant.folder.remove("play.yaml");
  await plant.folder.write({ "other.yaml": broken.replace("devices: [kept]", "devices: [kept") });
  const start = async () => {
    await plant.fleets.stop();
    plant.logs.splice(0);
    plant.folder.reopen();
    plant.folder.loaded = undefined;
    plant.fleets = new LiveFleets(plant.surroundings());
    await plant.fleets.use(await plant.folder.load());
  };
  await start();
  const removals = async () => (await plant.events()).filter((each) => each.startsWith("removed"));
  assert.deepEqual(await removals(), ["removed dead", "removed fine"]);
  assert.deepEqual(plant.logs, ["its file is gone, and so are its 2 devices"], "no stop");
  assert.deepEqual([...await plant.store.listStopped("play")], []);
  assert.deepEqual(await plant.store.listInventories("devices"), ["other"]);
  await start();
  assert.deepEqual([(await removals()).length, plant.logs], [2, []]);
  await plant.folder.remove("other.yaml");
  await plant.fleets.use(await plant.folder.load());
  assert.deepEqual((await removals()).slice(2), ["removed kept"], "it is deleted after all");
  assert.deepEqual(await plant.store.listInventories("devices"), []);
});

Deno.test("with the default times a ping that hangs fails at 10 s and an init that hangs at 25 s; a stop of 60 s and all these delay no other device", () => {
  let now = 0;
  const hang = () => new Promise<never>(() => {});
  const pings: Record<string, number[]> = { fine: [], hangs: [] };
  const edges: [name: string, what: string, at: number][] = [];
  const names = ["fine", "hangs", "never up"];
  const sessions = new Sessions({
    platform: {
      init: ({ name }) => name === "never up" ? hang() : {},
      ping: ({ name }) => {
        pings[name].push(now);
        return name === "hangs" ? hang() : undefined;
      },
      stop: ({ name }) => name === "hangs" ? hang() : undefined,
    },
    settings: { initTimeout: 25_000, stopTimeout: 60_000, ping: { every: [8_000, 10_000], timeout: 10_000, down: 2 } },
    surroundings: { env: {}, secrets: {} },
    mark() {},
    onEdge: ([what, index]) => edges.push([names[index], what, now]),
    onEnded() {},
    now: () => now,
  });
  names.forEach((name, index) => sessions.init({ index, name, data: {}, target: undefined }));
  for (; now < 200_000; now += 10) sessions.turn();
  const of = (name: string) =>
    edges.filter(([each]) => each === name).map(([, what, at]): [string, number] => [what, at]);
  // Two ticks of the wheel are between a time and its timer.
  const near = (at: number, expected: number) =>
    assert.ok(at >= expected && at <= expected + 20, `${at}, not ${expected}`);

  assert.deepEqual(of("fine").map(([what]) => what), ["initialized", "reachable"]);
  const gaps = pings.fine.slice(1).map((at, index) => at - pings.fine[index]);
  assert.ok(gaps.length >= 18 && gaps.every((gap) => gap >= 8_000 && gap <= 10_020), gaps.join(" "));

  const [, first, second, dead, ...ended] = of("hangs");
  assert.deepEqual([first, second, dead, ...ended].map(([what]) => what), [
    "unreachable",
    "unreachable",
    "dead",
    "stop.error",
    "stopped",
  ]);
  near(first[1], pings.hangs[0] + 10_000);
  near(second[1], pings.hangs[1] + 10_000);
  near(ended[0][1], dead[1] + 60_000);

  const [failed, stopped] = of("never up");
  assert.deepEqual([failed[0], stopped[0]], ["init.error", "stopped"]);
  near(failed[1], 25_000);
});
