import assert from "node:assert/strict";
import { ManualClock } from "../../runtime/host/clock.ts";
import { Coalescer } from "../../runtime/folder/watching/watch_folder.ts";

/** Loads that end when released, or at once. */
function setUp(options: { manual?: boolean } = {}) {
  const clock = new ManualClock(1_000_000);
  const loads: number[] = [];
  const ends: (() => void)[] = [];
  let running = 0;
  const coalescer = new Coalescer(async () => {
    assert.equal(++running, 1, "two loads at once");
    loads.push(clock.now() - 1_000_000);
    if (options.manual) await new Promise<void>((resolve) => ends.push(resolve));
    running--;
  }, clock);
  return {
    clock,
    coalescer,
    loads,
    end: () => ends.shift()!(),
    after: (ms: number) => clock.advanceTo(1_000_000 + ms),
  };
}

Deno.test("the first change loads at once", async () => {
  const { coalescer, loads, after } = setUp();
  coalescer.request();
  await after(50);
  assert.deepEqual(loads, [5]);
});

Deno.test("ten changes within a second become the first load and one trailing load", async () => {
  const { coalescer, loads, after } = setUp();
  for (let change = 0; change < 10; change++) {
    await after(change * 100);
    coalescer.request();
  }
  await after(5_000);
  assert.deepEqual(loads, [5, 1_005]);
});

Deno.test("continuous changes do not postpone the load", async () => {
  const { coalescer, loads, after } = setUp();
  for (let ms = 0; ms < 3_000; ms += 10) {
    coalescer.request();
    await after(ms);
  }
  assert.deepEqual(loads.slice(0, 3), [5, 1_005, 2_005]);
});

Deno.test("a change during a load causes another load after it", async () => {
  const { coalescer, loads, end, after } = setUp({ manual: true });
  coalescer.request();
  await after(100);
  coalescer.request();
  await after(3_000);
  assert.deepEqual(loads, [5]);
  end();
  await after(3_100);
  assert.equal(loads.length, 2);
  end();
});

Deno.test("a clock rollback does not postpone the load", async () => {
  const { clock, coalescer, loads, after } = setUp();
  coalescer.request();
  await after(100);
  clock.jumpTo(1_000_000 - 3_600_000);
  coalescer.request();
  await clock.advanceTo(clock.now() + 1_000);
  assert.equal(loads.length, 2);
});

Deno.test("no load overlaps exclusive work: neither an earlier load nor one caused by a change meanwhile", async () => {
  const { coalescer, loads, end, after } = setUp({ manual: true });
  coalescer.request();
  await after(100);
  const alone = Promise.withResolvers<void>();
  let begun = false;
  const done = assert.rejects(
    coalescer.alone(() => {
      begun = true;
      return alone.promise;
    }),
    /no such folder/,
  );
  await after(200);
  assert.equal(begun, false, "a load is under way");
  end();
  await after(300);
  assert.equal(begun, true);
  coalescer.request();
  await after(5_000);
  assert.equal(loads.length, 1);
  alone.reject(new Error("no such folder"));
  await done;
  await after(6_000);
  assert.equal(loads.length, 2);
  end();
});

Deno.test("closing waits for the current load and starts none", async () => {
  const { coalescer, loads, end, after } = setUp({ manual: true });
  coalescer.request();
  await after(100);
  coalescer.request();
  let closed = false;
  const closing = coalescer.close().then(() => closed = true);
  await after(5_000);
  assert.equal(closed, false);
  end();
  await closing;
  await after(10_000);
  assert.equal(loads.length, 1);
});
