import assert from "node:assert/strict";
import { ManualClock } from "../../runtime/host/clock.ts";
import { TimeoutError } from "../../runtime/model/errors.ts";
import { withTimeout } from "../../runtime/engine/timeout.ts";

const YEARS = 70 * 365 * 86_400_000;

Deno.test("a timeout does not depend on changes of the wall clock", async () => {
  for (const jump of [YEARS, -YEARS]) {
    const clock = new ManualClock(1.8e12);
    let late = false;
    const limit = { what: "Step x", ms: 1_000 };
    const forever = (makeSignal: () => AbortSignal) => {
      const signal = makeSignal();
      return new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const waited = withTimeout(clock, limit, new AbortController().signal, forever).catch((error) => {
      late = error instanceof TimeoutError;
    });
    clock.jumpTo(clock.now() + jump);
    await clock.advanceTo(clock.now() + 999);
    assert.equal(late, false);
    await clock.advanceTo(clock.now() + 1);
    await waited;
    assert.equal(late, true);
  }
});

Deno.test("work that finishes at once needs neither a signal nor a timer", async () => {
  const clock = {
    ...new ManualClock(1.8e12),
    ticks: () => assert.fail("asked for the time"),
    after: () => assert.fail("set a timer"),
  };
  const signal = new AbortController().signal;
  assert.equal(await withTimeout(clock as unknown as ManualClock, { what: "Step x", ms: 1_000 }, signal, () => 7), 7);
});
