import assert from "node:assert/strict";
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

Deno.test("places: { difference, every } in whenthen.yaml, from the load on that changes it", async () => {
  const withPlaces = (places: string) => ({ ...played(named(12), STILL), "whenthen.yaml": `places: ${places}\n` });
  await using replicas = await Replicas.with(withPlaces("{ difference: 20 }"), ["A"]);
  await replicas.reach({ A: 12 });
  await replicas.join("B");
  await until(() => replicas.store.listCarried(), (carried) => carried.get("play")?.size === 2);
  await until(() => replicas.looks, reaches(replicas.looks + 2));
  await replicas.reach({ A: 12 });
  await replicas.plants.get("A")!.reload(withPlaces("{ difference: 1, every: 100ms }"));
  await replicas.reach({ A: 6, B: 6 });
  const begun = performance.now();
  await until(() => replicas.looks, reaches(replicas.looks + 10));
  // Ten times the default would be 20 s.
  assert.ok(performance.now() - begun < 10_000);
});
