import assert from "node:assert/strict";
import { ManualClock, wallClock } from "../../runtime/host/clock.ts";

Deno.test("a manual clock runs due timers one at a time, in order, and moves no further", () => {
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

Deno.test("a timer of a manual clock fires after its duration, however the time jumps meanwhile", async () => {
  const clock = new ManualClock(1_000);
  const ticks = clock.ticks();
  const woken: string[] = [];
  clock.after(100, () => woken.push("after"));
  clock.at(1_100, () => woken.push("at"));
  clock.jumpTo(500);
  await clock.advanceTo(550);
  assert.equal(woken.length, 0);
  assert.equal(clock.ticks() - ticks, 50);
  await clock.advanceTo(600);
  assert.deepEqual(woken, ["after"]);
  clock.jumpTo(9_000);
  clock.after(100, () => woken.push("later"));
  await clock.advanceTo(9_099);
  assert.deepEqual(woken, ["after", "at"]);
  await clock.advanceTo(9_100);
  assert.deepEqual(woken, ["after", "at", "later"]);
});

Deno.test("a clock rollback is reported to all listeners, in the order of subscription, and not to later ones", async () => {
  let time = 1_000_000;
  const clock = wallClock(() => time, 1);
  const told: string[] = [];
  const cancel = clock.onRollback(() => told.push("gone"));
  const cancelFirst = clock.onRollback((by) => told.push(`first ${Math.round(by / 60_000)}`));
  time -= 60_000;
  const second = Promise.withResolvers<void>();
  const cancelSecond = clock.onRollback((by) => second.resolve(void told.push(`second ${Math.round(by / 60_000)}`)));
  assert.deepEqual(told, ["gone", "first 1"], "the second one subscribed later");
  cancel();
  time -= 120_000;
  await second.promise;
  assert.deepEqual(told.slice(2), ["first 2", "second 2"]);
  for (const cancel of [cancelFirst, cancelSecond]) cancel();
});
