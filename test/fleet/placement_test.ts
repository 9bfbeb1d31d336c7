import assert from "node:assert/strict";
import { systemClock, wallClock } from "../../runtime/host/clock.ts";
import { PACE, played, STILL, until } from "./harness.ts";
import { list, named, Replicas } from "./replicas.ts";

const reaches = (count: number) => (now: number) => now >= count;

function isEmpty(rest: object): boolean {
  return Object.keys(rest).length === 0;
}

Deno.test("devices that leave the inventory and come back before the next look at it get places anew", async () => {
  await using replicas = await Replicas.with(played(named(4), STILL), ["A"]);
  await replicas.reach({ A: 4 });
  await replicas.join("B");
  const goOn = replicas.hold("members");
  await list(replicas, [], STILL);
  await replicas.reach({});
  await list(replicas, named(4), STILL);
  goOn();
  await replicas.reach({ A: 2, B: 2 });
  await replicas.allIn("initialized", 4);
});

Deno.test("a fleet whose file is deleted and comes back before the next look gets places anew", async () => {
  await using replicas = await Replicas.with(played(named(4), STILL), ["A"]);
  await replicas.reach({ A: 4 });
  await replicas.join("B");
  const goOn = replicas.hold("members");
  for (const plant of replicas.plants.values()) {
    await plant.folder.remove("play.yaml");
    await plant.reload();
  }
  await replicas.reach({});
  await list(replicas, named(4), STILL);
  goOn();
  await replicas.reach({ A: 2, B: 2 });
  await replicas.allIn("initialized", 4);
});

Deno.test("a change of a fleet's settings that comes with new devices: they are placed without another reload", async () => {
  await using replicas = await Replicas.with(played(named(4), STILL), ["A"]);
  await replicas.reach({ A: 4 });
  await replicas.join("B");
  const isEven = (count: number) =>
    until(() => replicas.spread(), ({ A, B, ...rest }) => isEmpty(rest) && A + B === count && A - B <= 5);
  await list(replicas, named(10), `${STILL}init: { max: 7 }\n`);
  await isEven(10);
  await list(replicas, named(12), PACE);
  await isEven(12);
});

Deno.test("devices of an inventory that is read late are placed, by a replica that begins to decide too", async () => {
  const files = {
    ...played([], STILL),
    "play.yaml": `devices: { poll: { run: list }, every: 1h }\nkey: item.name\ndevice: ./play.ts\n${STILL}`,
  };
  await using replicas = await Replicas.with(files, []);
  replicas.options = { execute: () => Promise.resolve({ exit: 0, stdout: "[]", json: named(12) }) };
  await replicas.join("A");
  await replicas.reach({ A: 12 });
  for (const id of ["B", "C"]) await replicas.join(id);
  await until(() => replicas.spread(), ({ A, B, C, ...rest }) => isEmpty(rest) && A > 0 && B > 0 && C > 0);
  const before = await replicas.store.listPlaces("play", 100);
  const goOn = replicas.hold("getBaseline");
  const { looks } = replicas;
  const died = replicas.die("A");
  // The first look at places is over when the second one begins.
  await until(() => replicas.looks, reaches(looks + 2));
  goOn();
  await died;
  await until(() => replicas.spread(), ({ B, C, ...rest }) => isEmpty(rest) && B + C === 12);
  const after = new Map((await replicas.store.listPlaces("play", 100)).map(({ name, owner }) => [name, owner]));
  for (const { name, owner } of before) if (owner !== "A") assert.equal(after.get(name), owner, `${name} stays`);
});

Deno.test("a version that cannot be told is told again", async () => {
  await using replicas = await Replicas.with(played(named(4), STILL), ["A"]);
  await replicas.reach({ A: 4 });
  replicas.refuseOnce("setCarried");
  const b = await replicas.join("B");
  await until(() => b.logs, (logs) => logs.some((line) => line.startsWith("Cannot tell the others which fleets")));
  await list(replicas, named(8), STILL);
  await replicas.reach({ A: 4, B: 4 });
});

Deno.test("a failed search for fleets whose files are gone hinders no other fleet, and the next load searches again", async () => {
  await using replicas = await Replicas.with({
    ...played(named(2), STILL),
    "old.yaml": "devices: [{ name: d }]\nkey: item.name\n",
  }, ["A"]);
  await replicas.allIn("initialized", 2);
  const a = replicas.plants.get("A")!;
  await a.stop();
  await a.folder.remove("old.yaml");
  replicas.refuseOnce("listInventories");
  await a.start();
  assert.ok(a.logs.includes("Cannot find fleets whose files are gone, the next load does: refused"));
  await replicas.allIn("initialized", 2);
  assert.deepEqual((await replicas.store.listInventories("devices")).sort(), ["old", "play"]);
  await a.reload();
  await until(() => replicas.store.listInventories("devices"), (ids) => ids.join() === "play");
});

Deno.test("places: { difference, every } in whenthen.yaml, from the load on that changes it", async () => {
  const withPlaces = (places: string) => ({ ...played(named(12), STILL), "whenthen.yaml": `places: ${places}\n` });
  const pauses: number[] = [];
  const after = (ms: number, act: () => void) => {
    pauses.push(ms);
    return systemClock.after(ms, act);
  };
  await using replicas = await Replicas.with(withPlaces("{ difference: 20 }"), []);
  replicas.options = { clock: { ...systemClock, after } };
  await replicas.join("A");
  await replicas.reach({ A: 12 });
  await replicas.join("B");
  await until(() => replicas.store.listCarried(), (carried) => carried.get("play")?.size === 2);
  await until(() => replicas.looks, reaches(replicas.looks + 2));
  await replicas.reach({ A: 12 });
  const short = () => pauses.filter((ms) => ms === 120).length;
  assert.equal(short(), 0);
  await replicas.plants.get("A")!.reload(withPlaces("{ difference: 1, every: 120ms }"));
  await replicas.reach({ A: 6, B: 6 });
  await until(short, reaches(10));
});

Deno.test("a device that moves is distributing until its session at the old place has ended; then the new one takes it", async () => {
  const devices = named(12).map((device) => ({ ...device, stop: "wait 400" }));
  await using replicas = await Replicas.with(played(devices, STILL), ["A"]);
  await replicas.allIn("initialized", 12);
  const before = new Map((await replicas.store.listPlaces("play", 100)).map(({ name, epoch }) => [name, epoch]));
  const goOn = replicas.hold("releasePlaces");
  await replicas.join("B");
  const a = replicas.plants.get("A")!;
  await until(() => a.logs.filter((line) => line.startsWith("stop ")), (stops) => stops.length === 4);
  const moving = (await replicas.devices()).filter(({ state }) => state === "distributing");
  assert.deepEqual(moving.map(({ owner }) => owner!.replica), ["A", "A", "A", "A"]);
  assert.equal(a.counts("play").distributing, 4);
  const b = replicas.plants.get("B")!;
  assert.deepEqual(b.logs.filter((line) => line.startsWith("init ")), []);
  goOn();
  await replicas.reach({ A: 8, B: 4 });
  await replicas.allIn("initialized", 12);
  for (const { name, owner, epoch } of await replicas.store.listPlaces("play", 100)) {
    assert.equal(epoch, before.get(name)! + (owner === "B" ? 1 : 0), name);
  }
});

Deno.test("devices that a replica takes get their sessions within init.max", async () => {
  const devices = named(24).map((device) => ({ ...device, init: "wait 50" }));
  const files = played(devices, `${STILL}init: { max: 3 }\n`);
  const begins = 'console.log("begins"); await act(device.init);';
  await using replicas = await Replicas.with({
    ...files,
    "play.ts": files["play.ts"].replace("await act(device.init);", begins),
    "whenthen.yaml": "places: { difference: 1 }\n",
  }, ["A"]);
  await replicas.allIn("initialized", 24);
  const b = await replicas.join("B");
  await replicas.reach({ A: 12, B: 12 });
  // What is shown is as it was before the move.
  await until(() => b.logs.filter((line) => line.startsWith("init ")), (inits) => inits.length === 12);
  let [now, most] = [0, 0];
  for (const line of b.logs) {
    if (line === "begins") most = Math.max(most, ++now);
    else if (line.startsWith("init ")) now--;
  }
  assert.deepEqual([most, b.logs.filter((line) => line === "begins").length], [3, 12]);
});

Deno.test("a device that its replica does not take for five minutes goes to another one that has the fleet's version", async () => {
  let ahead = 0;
  const files = played(named(12), STILL);
  await using replicas = await Replicas.with(files, []);
  replicas.options = { clock: wallClock(() => Date.now() + ahead, 30_000) };
  await replicas.join("A", { ...files, "whenthen.yaml": "places: { every: 100ms }\n" });
  await replicas.reach({ A: 12 });
  await replicas.join("C", played(named(12), `${STILL}init: { max: 7 }\n`));
  const goOn = replicas.hold("takePlaces", "B");
  await replicas.join("B");
  await replicas.reach({ A: 8, "nobody→B": 4 });
  await until(() => replicas.devices(), (all) => all.filter(({ state }) => state === "distributing").length === 4);
  ahead = 299_000;
  const { looks } = replicas;
  await until(() => replicas.looks, reaches(looks + 3));
  await replicas.reach({ A: 8, "nobody→B": 4 });
  ahead = 310_000;
  await replicas.reach({ A: 12 });
  const warning = "4 devices were not taken by host-B for 5m: other replicas look after them";
  await until(() => replicas.logs(), (logs) => logs.includes(`A: ${warning}`));
  goOn();
});
