import assert from "node:assert/strict";
import { numbered, Plant, PLAY_PLATFORM, played, STILL, until } from "./harness.ts";

Deno.test("a task: max on one device and in all, a timeout, devices that are done, wrong inputs, results in slices", async () => {
  const devices = [...numbered(250).map((name) => ({ name, tag: "many" })), {
    name: "hangs",
    look: "hang",
    tag: "one",
  }];
  await using plant = await Plant.with(played(devices, `${STILL}tags: item.tag\n`));
  await plant.reach("play", "initialized", 251);
  const send = async (order: object) => {
    const slices: { device: string; success: boolean; error: string | null; return: unknown }[][] = [];
    await plant.fleets.task(
      { fleet: "play", task: "slow", to: "all", inputs: {}, job: "j", ...order },
      (slice) => void slices.push(slice),
    );
    return slices;
  };
  const many = await send({ to: { tags: ["many"] }, done: new Set(["d00000"]) });
  assert.equal(many.flat().length, 249);
  assert.ok(many.flat().every(({ success }) => success));
  assert.ok(many.length < 20, `${many.length} slices`);
  const [[late]] = await send({ task: "fail", to: "hangs" });
  assert.deepEqual([late.success, late.error, late.return], [false, "The task fail took longer than 100ms", null]);
  assert.deepEqual(await send({ to: [] }), []);
  await assert.rejects(send({ task: "jump" }), /play has no task "jump"; known here: slow, fail/);
  await assert.rejects(send({ inputs: { ms: "soon" } }), /Cannot send slow to play: .*ms/);
  await assert.rejects(send({ to: null }), /Cannot send a task to null/);
  await assert.rejects(send({ fleet: "plya" }), /There is no fleet "plya"; did you mean "play"/);
});

Deno.test("a session that ends during a task is a failure of that task alone", async () => {
  const devices = [{ name: "a" }, { name: "b" }];
  await using plant = await Plant.with(played(devices, STILL));
  await plant.reach("play", "initialized", 2);
  const results: { device: string; error: string | null }[] = [];
  const sent = plant.fleets.task(
    { fleet: "play", task: "slow", to: "all", inputs: { ms: 700 }, job: "j" },
    (slice) => void results.push(...slice),
  );
  await until(() => plant.logs.filter((line) => line.startsWith("task ")).length, (count) => count === 2);
  await plant.reload(played([{ name: "b" }], STILL));
  await sent;
  assert.deepEqual(results.map(({ device, error }) => [device, error]), [["a", "its session has ended"], ["b", null]]);
});

Deno.test("a task sent right after a start waits for the fleet and its inits; an aborted one ends, keeps what has ended, and sends no more", async () => {
  const devices = [{ name: "a", init: "wait 300" }, { name: "b", init: "wait 300" }];
  await using plant = await Plant.with(played(devices, STILL));
  const results: { device: string; error: string | null }[] = [];
  const keep = (slice: typeof results) => void results.push(...slice);
  const order = { fleet: "play", task: "slow", to: "all", job: "j" };
  await plant.fleets.task({ ...order, inputs: { ms: 1 } }, keep);
  assert.deepEqual(results.map(({ device, error }) => [device, error]).sort(), [["a", null], ["b", null]]);
  assert.deepEqual(await plant.fleets.recipients("play", "all"), ["a", "b"]);
  const blocking = [1, 2].map(() => plant.fleets.task({ ...order, to: "a", inputs: { ms: 1_000 } }, () => {}));
  await until(() => plant.logs.filter((line) => line === "task a").length, (count) => count === 3);
  const stop = new AbortController();
  const late = plant.fleets.task({ ...order, to: ["b", "a"], inputs: { ms: 1 }, signal: stop.signal }, keep);
  await until(() => plant.logs.filter((line) => line === "task b").length, (count) => count === 2);
  stop.abort(new Error("enough"));
  await assert.rejects(late, /enough/);
  await Promise.all(blocking);
  assert.equal(plant.logs.filter((line) => line === "task a").length, 3);
  await assert.rejects(plant.fleets.task({ ...order, inputs: {}, max: 0 }, keep), /to 0 devices at once/);
  const full = plant.fleets.task({ ...order, inputs: { ms: 1 } }, () => Promise.reject(new Error("disk full")));
  await assert.rejects(full, /disk full/);
});

Deno.test("a platform that does not load makes its tasks fail at once, with the reason", async () => {
  const files = played([{ name: "a" }], STILL);
  files["play.ts"] = PLAY_PLATFORM.replace(
    "let pings = 0;",
    'let pings = 0; if (process.env.WORKER) throw new Error("no driver");',
  );
  await using plant = await Plant.with(files, { env: () => ({ WORKER: "1" }) });
  const results: { error: string | null }[] = [];
  const order = { fleet: "play", task: "slow", to: "a", inputs: {}, job: "j", timeout: 86_400_000 };
  await plant.fleets.task(order, (slice) => void results.push(...slice));
  assert.deepEqual(results.map(({ error }) => error), [
    "it has no session: it is waiting: the platform does not load: no driver",
  ]);
});

const COUNTING = `
import { device, task } from "whenthen";
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let now = 0;
let most = 0;
const on = new Map<string, { now: number; most: number }>();
const run = async ({ name, inputs }: { name: string; inputs: { all: number; one: number } }) => {
  const mine = on.get(name) ?? { now: 0, most: 0 };
  on.set(name, mine);
  most = Math.max(most, ++now);
  mine.most = Math.max(mine.most, ++mine.now);
  // Nobody leaves before so many are here: the highest number does not depend on the machine.
  while (most < inputs.all || mine.most < inputs.one) await pause(5);
  await pause(10);
  now--;
  mine.now--;
  return [most, mine.most];
};
export default device<string>({
  tasks: { count: task({ inputs: { all: { type: "integer" }, one: { type: "integer" } }, max: 2, run }) },
});
`;

Deno.test("the highest number at once: max devices of an order, 100 by default, and the task's max on one device, also of several orders", async () => {
  const names = numbered(120);
  let now = 0;
  let most = 0;
  const enough = Promise.withResolvers<void>();
  await using plant = await Plant.with({
    "count.ts": COUNTING,
    "call.ts": "export const look = () => 1;\n",
    "count.yaml": `devices: [${names}]\ndevice: ./count.ts\ntasks: { look: { call: ./call.ts#look } }\n`,
  }, {
    async call() {
      most = Math.max(most, ++now);
      if (most >= 9) enough.resolve();
      await enough.promise;
      await new Promise((resolve) => setTimeout(resolve, 10));
      now--;
      return null;
    },
  });
  await plant.reach("count", "initialized", 120);
  /** @returns the highest numbers so far: in all devices, and on one of them */
  const send = async (order: object) => {
    const highest = [0, 0];
    await plant.fleets.task({ fleet: "count", task: "count", to: "all", inputs: {}, job: "j", ...order }, (slice) => {
      for (const { error, return: returned } of slice) {
        assert.equal(error, null);
        for (const [index, each] of (returned as number[] ?? []).entries()) {
          highest[index] = Math.max(highest[index], each);
        }
      }
    });
    return highest;
  };
  assert.deepEqual(await send({ inputs: { all: 7, one: 1 }, max: 7 }), [7, 1]);
  assert.deepEqual(await send({ inputs: { all: 100, one: 1 } }), [100, 1]);
  const orders = Array.from({ length: 5 }, () => send({ to: names[0], inputs: { all: 1, one: 2 } }));
  assert.deepEqual((await Promise.all(orders)).map(([, one]) => one), [2, 2, 2, 2, 2]);
  await send({ task: "look", max: 9 });
  assert.equal(most, 9);
});
