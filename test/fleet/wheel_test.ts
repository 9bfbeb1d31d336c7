import assert from "node:assert/strict";
import fc from "fast-check";
import { TICK, Wheel } from "../../runtime/fleet/wheel.ts";

Deno.test("Wheel fires each timer once, in its slot: not early, late by a tick at most; dropped ones never", () => {
  const step = fc.record({
    timer: fc.nat(60),
    delay: fc.integer({ min: 0, max: 100_000 }),
    drop: fc.boolean(),
    pause: fc.integer({ min: 0, max: 20_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let now = 12_345;
      const wheel = new Wheel(now);
      const due = new Map<number, number>();
      const advance = (to: number) => {
        while (now < to) {
          now = Math.min(to, now + TICK);
          wheel.turn(() => now, (timer) => {
            const at = due.get(timer);
            assert.ok(at !== undefined, `timer ${timer} was not set`);
            assert.ok(now >= at && now - at <= 2 * TICK, `due at ${at}, fired at ${now}`);
            due.delete(timer);
          });
          const late = [...due.values()].filter((at) => now - at > 2 * TICK);
          assert.deepEqual(late, []);
        }
      };
      for (const { timer, delay, drop, pause } of steps) {
        if (drop) {
          wheel.drop(timer);
          due.delete(timer);
        } else {
          wheel.set(timer, now + delay);
          due.set(timer, now + delay);
        }
        const next = wheel.next();
        if (due.size === 0) assert.equal(next, undefined);
        else assert.ok(next! <= Math.min(...due.values()) + TICK, "it never sleeps past a timer");
        advance(now + pause);
      }
      advance(now + 110_000);
      assert.equal(due.size, 0);
    }),
    { numRuns: 30 },
  );
});

Deno.test("Wheel: a timer may set and drop others while it fires, in the same slot too", () => {
  let now = 0;
  const wheel = new Wheel(0);
  for (let timer = 0; timer < 10; timer++) wheel.set(timer, 50);
  const fired: number[] = [];
  const turn = (to: number) => {
    now = to;
    wheel.turn(() => now, (timer) => {
      fired.push(timer);
      // Each drops its neighbours and sets itself again: a turn must end all the same.
      wheel.drop(timer - 1);
      wheel.drop(timer + 1);
      wheel.set(timer, now);
    }, Infinity);
  };
  turn(50);
  assert.equal(new Set(fired).size, fired.length, "once in a turn");
  assert.ok(fired.length >= 4 && fired.length <= 6, String(fired));
});
