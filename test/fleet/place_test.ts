import assert from "node:assert/strict";
import fc from "fast-check";
import { type Host, place, type Placed } from "../../runtime/fleet/place.ts";

/** As in the settings by default. */
const DIFFERENCE = 5;

/** Devices on replicas: `{ A: 4, none: 3 }`. */
function spread(counts: Record<string, number>): Placed[] {
  return Object.entries(counts).flatMap(([on, count]) =>
    Array.from({ length: count }, (_, index): Placed => ({
      name: `${on}${String(index).padStart(3, "0")}`,
      ...on !== "none" && { on, since: index },
    }))
  );
}

/** Replicas that are alive, with the devices that they have of this fleet and of others. */
function hosts(ids: string[], devices: Placed[], others: Record<string, number> = {}): Host[] {
  return ids.map((id) => ({
    id,
    load: devices.filter(({ on }) => on === id).length + (others[id] ?? 0),
    takes: true,
  }));
}

function apply(devices: Placed[], moves: { name: string; to: string }[]): Placed[] {
  const to = new Map(moves.map((move) => [move.name, move.to]));
  return devices.map((device) => to.has(device.name) ? { ...device, on: to.get(device.name)!, since: 1e6 } : device);
}

function count(devices: Placed[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { on = "none" } of devices) counts[on] = (counts[on] ?? 0) + 1;
  return counts;
}

function placed(counts: Record<string, number>, ids: string[], difference = DIFFERENCE) {
  const devices = spread(counts);
  const moves = place(devices, hosts(ids, devices), difference);
  return { moves, counts: count(apply(devices, moves)) };
}

Deno.test("place() spreads 7 devices over 2 replicas as 4 + 3, and an eighth moves none of them", () => {
  assert.deepEqual(placed({ none: 7 }, ["A", "B"]).counts, { A: 4, B: 3 });
  const eighth = placed({ A: 4, B: 3, none: 1 }, ["A", "B"]);
  assert.deepEqual(eighth, { moves: [{ name: "none000", to: "B" }], counts: { A: 4, B: 4 } });
});

Deno.test("place() moves as few as it takes to an empty replica, those first that came first", () => {
  const { moves, counts } = placed({ A: 12 }, ["A", "B"]);
  assert.deepEqual(counts, { A: 8, B: 4 });
  assert.deepEqual(moves.map(({ name }) => name), ["A000", "A001", "A002", "A003"]);
  assert.deepEqual(placed({ A: 12 }, ["A", "B"], 1).counts, { A: 6, B: 6 });
  assert.deepEqual(placed({ A: 5 }, ["A", "B"]).moves, []);
});

Deno.test("place() gives nothing to a replica with another version of the fleet, and takes nothing from it", () => {
  const devices = spread({ A: 3, B: 20, none: 2 });
  const moves = place(
    devices,
    hosts(["A", "B", "C"], devices).map((host) => ({ ...host, takes: host.id === "A" })),
    DIFFERENCE,
  );
  assert.deepEqual(moves.map(({ to }) => to), ["A", "A"]);
  assert.deepEqual(place(devices, hosts(["A"], devices).map((host) => ({ ...host, takes: false })), DIFFERENCE), []);
});

Deno.test("place() counts the devices of other fleets, and moves only those of its own", () => {
  const devices = spread({ A: 2, none: 4 });
  const moves = place(devices, hosts(["A", "B"], devices, { B: 30 }), DIFFERENCE);
  assert.deepEqual(count(apply(devices, moves)), { A: 6 });
  const crowded = spread({ A: 2 });
  assert.deepEqual(count(apply(crowded, place(crowded, hosts(["A", "B"], crowded, { A: 30 }), DIFFERENCE))), { B: 2 });
});

const ids = ["A", "B", "C", "D", "E"];
const scenes = fc.record({
  counts: fc.dictionary(fc.constantFrom(...ids, "gone", "none"), fc.nat({ max: 40 })),
  alive: fc.subarray(ids, { minLength: 1 }),
  difference: fc.integer({ min: 1, max: 8 }),
});

Deno.test("place(): all are placed, the difference holds, only what has to moves, a second call moves nothing", () => {
  fc.assert(fc.property(scenes, ({ counts, alive, difference }) => {
    const devices = spread(counts);
    const moves = place(devices, hosts(alive, devices), difference);
    const after = apply(devices, moves);
    const loads = alive.map((id) => count(after)[id] ?? 0);
    assert.ok(after.every(({ on }) => alive.includes(on!)));
    assert.ok(Math.max(...loads) - Math.min(...loads) <= difference);
    assert.equal(new Set(moves.map(({ name }) => name)).size, moves.length, "no device moves twice");
    assert.deepEqual(place(after, hosts(alive, after), difference), []);
    assert.deepEqual(place(devices.toReversed(), hosts(alive.toReversed(), devices), difference), moves);
    // What moves although its replica is alive: the least that brings the largest difference down.
    const isAlive = ({ on }: Placed) => on !== undefined && alive.includes(on);
    const before = new Map(devices.map((device) => [device.name, device]));
    const moved = moves.filter(({ name }) => isAlive(before.get(name)!));
    if (moved.length > 0) {
      const fewer = moves.filter(({ name }) => name !== moved.at(-1)!.name);
      const left = alive.map((id) => count(apply(devices, fewer))[id] ?? 0);
      assert.ok(Math.max(...left) - Math.min(...left) > difference);
    }
  }));
});

Deno.test("place(): when a replica is gone, only its devices move", () => {
  fc.assert(fc.property(fc.nat({ max: 200 }), fc.integer({ min: 2, max: 5 }), (total, replicas) => {
    const all = ids.slice(0, replicas);
    const devices = spread({ none: total });
    const before = apply(devices, place(devices, hosts(all, devices), DIFFERENCE));
    const left = all.slice(1);
    const moves = place(before, hosts(left, before), DIFFERENCE);
    const gone = before.filter(({ on }) => on === all[0]).map(({ name }) => name);
    assert.deepEqual(moves.map(({ name }) => name).sort(), gone.sort());
  }));
});
