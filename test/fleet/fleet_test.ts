import assert from "node:assert/strict";
import { LINE_PLATFORM, listed, numbered, Plant, Simulator, until } from "./harness.ts";

const QUICK =
  "ping: { every: [50ms, 100ms], timeout: 300ms, down: 2 }\ninit: { timeout: 1s, again: 1h }\ndevice: ./line.ts\n";

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
