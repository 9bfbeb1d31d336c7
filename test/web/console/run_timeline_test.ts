import assert from "node:assert/strict";
import fc from "fast-check";
import { AXIS_WIDTH, join, layOutAxis, lengthOf } from "../../../runtime/web/console/run_timeline.ts";

Deno.test("layOutAxis() draws to scale where nothing waits for long", () => {
  const axis = layOutAxis({ from: 0, to: 1_000 }, [{ from: 0, to: 500 }, { from: 550, to: 1_000 }]);
  assert.deepEqual(axis.cuts, []);
  assert.deepEqual([0, 250, 1_000].map(axis.place), [0, 250, AXIS_WIDTH]);
});

Deno.test("layOutAxis() cuts a wait of all branches, so that two seconds of work beside two days are seen", () => {
  const DAYS = 2 * 86_400_000;
  const axis = layOutAxis({ from: 0, to: DAYS + 2_000 }, [{ from: 0, to: 1_000 }, {
    from: DAYS + 1_000,
    to: DAYS + 2_000,
  }]);
  assert.deepEqual(axis.cuts.map(({ from, to }) => [from, to]), [[1_000, DAYS + 1_000]]);
  const [cut] = axis.cuts;
  assert.ok(cut.x > 400 && cut.x + cut.width < 600, "work on both sides has nearly half of the axis");
});

Deno.test("layOutAxis() also cuts a wait that is long only beside what is left after a longer one was cut", () => {
  const hour = 3_600_000;
  const work = [0, 1, 60].map((at) => ({ from: at * hour, to: at * hour + 1_000 }));
  const axis = layOutAxis({ from: 0, to: 60 * hour + 1_000 }, work);
  assert.equal(axis.cuts.length, 2);
});

Deno.test("layOutAxis() keeps the order of time, within the axis, whatever worked when", () => {
  const spans = fc.array(fc.tuple(fc.nat(10_000_000), fc.nat(10_000_000)), { maxLength: 20 });
  fc.assert(fc.property(spans, fc.array(fc.nat(10_000_000)), (pairs, moments) => {
    const work = join(pairs.map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) })));
    const axis = layOutAxis({ from: 0, to: 10_000_000 }, work);
    const places = moments.sort((a, b) => a - b).map(axis.place);
    assert.ok(places.every((x, index) => x >= 0 && x <= AXIS_WIDTH + 1e-6 && (index === 0 || x >= places[index - 1])));
    assert.ok(axis.cuts.every(({ from, to }) => work.every((span) => span.to <= from || span.from >= to)));
  }));
});

Deno.test("join() and lengthOf() count time once that several steps share", () => {
  const spans = join([{ from: 5, to: 9 }, { from: 0, to: 6 }, { from: 20, to: 21 }]);
  assert.deepEqual(spans, [{ from: 0, to: 9 }, { from: 20, to: 21 }]);
  assert.equal(lengthOf(spans), 10);
});
