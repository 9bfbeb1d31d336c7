import assert from "node:assert/strict";
import { Reloads } from "../../runtime/app/reloads.ts";
import { ManualClock } from "../../runtime/host/clock.ts";

/** Loads, of which the first ones fail. */
function failing(times: number) {
  const clock = new ManualClock(1_700_000_000_000);
  const loads: number[] = [];
  const reloads = new Reloads(() => {
    loads.push(clock.now() - 1_700_000_000_000);
    return loads.length > times ? Promise.resolve() : Promise.reject(new Error("Cannot read the rules folder"));
  }, clock);
  const after = (ms: number) => clock.advanceTo(clock.now() + ms);
  return { loads, reloads, after };
}

Deno.test("a load that must succeed is repeated each 10 s until it does", async () => {
  const { loads, reloads, after } = failing(2);
  await reloads.untilLoaded();
  assert.deepEqual(loads, [0]);
  await after(60_000);
  assert.deepEqual(loads, [0, 10_000, 20_000]);
  await reloads.close();
});

Deno.test("a load that failed is not repeated after the end", async () => {
  const { loads, reloads, after } = failing(Infinity);
  await reloads.untilLoaded();
  await reloads.close();
  await after(60_000);
  assert.deepEqual(loads, [0]);
});

Deno.test("a load after a change is attempted again only after the next change", async () => {
  const { loads, reloads, after } = failing(1);
  reloads.request();
  await after(60_000);
  assert.equal(loads.length, 1);
  reloads.request();
  await after(60_000);
  assert.equal(loads.length, 2);
  await reloads.close();
});
