import assert from "node:assert/strict";
import { ManualClock } from "../../runtime/host/clock.ts";

Deno.test("a manual clock wakes what is due one at a time, in order, and moves no further than that", () => {
  const clock = new ManualClock(100);
  const woken: [string, number][] = [];
  clock.at(130, () => woken.push(["late", clock.now()]));
  clock.at(110, () => {
    woken.push(["first", clock.now()]);
    clock.at(120, () => woken.push(["added", clock.now()]));
  });
  clock.at(115, () => woken.push(["cancelled", clock.now()]))();
  assert.ok(clock.wakeNext(125));
  assert.ok(clock.wakeNext(125));
  assert.ok(!clock.wakeNext(125));
  assert.deepEqual(woken, [["first", 110], ["added", 120]]);
  assert.equal(clock.now(), 120);
});
