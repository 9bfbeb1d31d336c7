import assert from "node:assert/strict";
import { type Cancel, ManualClock } from "../../runtime/host/clock.ts";
import { Waiting } from "../../runtime/engine/waiting.ts";

const never = new AbortController().signal;

/** A clock that counts its pending timers. */
class CountingClock extends ManualClock {
  alarms = 0;

  override at(at: number, wake: () => void): Cancel {
    let live = true;
    const end = () => {
      if (live) this.alarms--;
      live = false;
    };
    this.alarms++;
    const cancel = super.at(at, () => {
      end();
      wake();
    });
    return () => {
      end();
      cancel();
    };
  }
}

/** A branch that works until it is released. */
function work() {
  const { promise, resolve } = Promise.withResolvers<string>();
  return { branch: () => promise, end: () => resolve("worked") };
}

Deno.test("a run is suspended as soon as its only branch waits, even for a short time", async () => {
  const waiting = new Waiting(new ManualClock(0));
  assert.equal(await waiting.wait(1, never), false);
  assert.equal(await waiting.wait(undefined, never), false);
});

Deno.test("a wait that is already due ends at once", async () => {
  assert.equal(await new Waiting(new ManualClock(5)).wait(5, never), true);
});

Deno.test("while a branch works the others wait in memory, and resume when they are due", async () => {
  const clock = new ManualClock(0);
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const times: number[] = [];
  const waits = async () => {
    for (const due of [1_000, 2_000]) {
      assert.equal(await waiting.wait(due, never), true);
      times.push(clock.now());
    }
    return "waited";
  };
  const done = waiting.fork([branch, waits]);
  await clock.advanceTo(5_000);
  assert.deepEqual(times, [1_000, 2_000]);
  end();
  assert.deepEqual(await done, ["worked", "waited"]);
  assert.equal(waiting.held, 0);
});

Deno.test("when the last branch that works ends or waits, all that wait are suspended", async () => {
  const waiting = new Waiting(new CountingClock(0));
  const { branch, end } = work();
  const done = waiting.fork<string | boolean>([
    branch,
    () => waiting.wait(1_000, never),
    async () => (await waiting.fork([() => waiting.wait(undefined, never), () => waiting.wait(9_000, never)])).join(),
  ]);
  end();
  assert.deepEqual(await done, ["worked", false, "false,false"]);
});

Deno.test("after a join the remaining branch is suspended alone again", async () => {
  const waiting = new Waiting(new ManualClock(0));
  await waiting.fork([() => Promise.resolve(1), () => Promise.resolve(2), () => Promise.resolve(3)]);
  await waiting.fork([]);
  assert.equal(await waiting.wait(1_000, never), false);
});

Deno.test("a wait that holds the run keeps it in memory, with all waiting branches; the time counts as held", async () => {
  const clock = new ManualClock(0);
  const waiting = new Waiting(clock);
  const done = waiting.fork([
    async () => [await waiting.wait(3_000, never, { hold: true }), clock.now()],
    async () => [await waiting.wait(2_000, never), clock.now()],
  ]);
  await clock.advanceTo(1_000);
  assert.equal(waiting.held, 1_000);
  await clock.advanceTo(10_000);
  assert.deepEqual(await done, [[true, 3_000], [true, 2_000]]);
  assert.equal(waiting.held, 3_000);
});

Deno.test("a run is not held for longer than a few seconds", async () => {
  const waiting = new Waiting(new ManualClock(0));
  assert.equal(await waiting.wait(60_000, never, { hold: true }), false);
});

Deno.test("however many branches wait, only the first has a timer", async () => {
  const clock = new ManualClock(0);
  const dues: number[] = [];
  const at = clock.at.bind(clock);
  clock.at = (due, call) => {
    dues.push(due);
    return at(due, call);
  };
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const waits = Array.from({ length: 100 }, (_, index) => () => waiting.wait(1_000 + index, never));
  const done = waiting.fork<unknown>([branch, ...waits]);
  assert.deepEqual(dues, [1_000]);
  await clock.advanceTo(1_049);
  assert.equal(dues.length, 51, "then the next one");
  end();
  await done;
});

Deno.test("all waiting branches check again when the run is woken", async () => {
  const clock = new CountingClock(0);
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const looks: number[] = [];
  const waits = (index: number) => async () => {
    while (await waiting.wait(60_000, never)) looks.push(index);
  };
  const done = waiting.fork<unknown>([branch, waits(1), waits(2)]);
  waiting.wake();
  await clock.advanceTo(1);
  waiting.wake();
  await clock.advanceTo(2);
  assert.deepEqual(looks, [1, 2, 1, 2]);
  end();
  await done;
  assert.equal(clock.alarms, 0);
});

Deno.test("a branch whose signal is aborted stops waiting, and leaves no timer behind", async () => {
  const clock = new CountingClock(0);
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const stop = new AbortController();
  const lost = waiting.fork<unknown>([branch, () => waiting.wait(60_000, stop.signal)]);
  stop.abort(new Error("lost"));
  assert.equal(clock.alarms, 0);
  end();
  await assert.rejects(lost, /lost/);
  assert.equal(await waiting.wait(undefined, never), false);
  assert.throws(() => waiting.wait(1, stop.signal), /lost/);
});

Deno.test("if runs are held for tests, all branches wait in memory until the run is asked to suspend", async () => {
  const clock = new ManualClock(0);
  const waiting = new Waiting(clock, true);
  const first = waiting.wait(86_400_000, never);
  assert.ok(waiting.idle);
  await clock.advanceTo(86_400_000);
  assert.equal(await first, true);
  assert.equal(waiting.held, 86_400_000);
  const second = waiting.wait(undefined, never);
  waiting.suspend();
  assert.equal(await second, false);
  assert.ok(!waiting.idle);
});
