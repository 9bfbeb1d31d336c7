import assert from "node:assert/strict";
import { decide } from "../../runtime/ingest/decide_verdict.ts";
import type { Event } from "../../runtime/model/event.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import { evaluate } from "../../runtime/language/expressions/expression.ts";
import { BudgetError, Meters } from "../../runtime/language/expressions/meter.ts";
import { keyItems } from "../../runtime/triggers/poll/poll_changes.ts";

/** A clock on which each evaluation takes a set time. */
class Ticking {
  time = 0;
  takes = 0;
  #isEnd = false;

  /** An evaluation reads the clock when it begins and when it ends; a refused one reads it only once, and is followed by {@link pass}. */
  ticks(): number {
    if (this.#isEnd) this.time += this.takes;
    this.#isEnd = !this.#isEnd;
    return this.time;
  }

  pass(ms: number): void {
    this.#isEnd = false;
    this.time += ms;
  }
}

const at = { line: 1, column: 1 };
const event: Event = { id: "1", source: "/a", type: "a", time: "2026-11-21T00:00:00Z", data: { price: 5 } };
const trigger = { id: "event a", kind: "event", at, args: {} };
const rule = {
  id: "dear",
  enabled: true,
  version: "v1",
  triggers: [trigger],
  if: [{ text: "event.data.price > 3", at }],
  mode: "parallel",
  limit: null,
} as unknown as Rule;

function setUp(takes: number) {
  const clock = new Ticking();
  clock.takes = takes;
  const meters = new Meters(clock);
  meters.setRules(new Map([["dear", rule], ["other", rule]]));
  const ask = (id = "dear") => decide(event, { ...rule, id }, trigger, undefined, { event, $meter: meters.of(id) }, 0);
  return { clock, meters, ask };
}

Deno.test("a rule whose expressions took over 10 s of the last minute gets the verdict error with the reason; others continue", () => {
  const { clock, ask } = setUp(2_100);
  for (let count = 0; count < 5; count++) assert.equal(ask().kind, "admit");
  assert.deepEqual(ask(), {
    kind: "error",
    reason:
      "the expressions of the rule dear took 10.5 s of the last minute, and may take 10 s; they are evaluated again in " +
      '52 s; the longest evaluation took 2100 ms: "event.data.price > 3"',
  });
  clock.pass(0);
  assert.equal(ask("other").kind, "admit");
});

Deno.test("evaluations over a minute ago no longer count", () => {
  const { clock, ask } = setUp(2_100);
  for (let count = 0; count < 5; count++) ask();
  clock.pass(51_599);
  assert.equal(ask().kind, "error");
  clock.pass(1);
  clock.takes = 2_000;
  assert.equal(ask().kind, "admit");
  assert.equal(ask().kind, "error", "only the oldest of them is over a minute ago");
});

Deno.test("short evaluations are not counted, however many there are", () => {
  const { ask, meters } = setUp(4);
  for (let count = 0; count < 10_000; count++) assert.equal(ask().kind, "admit");
  assert.equal(meters.of("dear").longest, undefined);
});

Deno.test("the longest evaluation is kept until the rule changes, and so is the time spent", () => {
  const { clock, ask, meters } = setUp(10_001);
  ask();
  clock.takes = 200;
  evaluate("1 + 1", { $meter: meters.of("other") });
  assert.deepEqual(meters.of("dear").longest, { expression: "event.data.price > 3", ms: 10_001 });
  assert.deepEqual(meters.of("other").longest, { expression: "1 + 1", ms: 200 });
  meters.setRules(new Map([["dear", rule], ["other", rule]]));
  assert.equal(ask().kind, "error");
  clock.pass(0);
  meters.setRules(new Map([["dear", { ...rule, version: "v2" }], ["other", rule]]));
  assert.equal(meters.of("dear").longest, undefined);
  assert.equal(meters.of("other").longest?.ms, 200);
  assert.equal(ask().kind, "admit");
  const gone = meters.of("other");
  meters.setRules(new Map());
  assert.notEqual(meters.of("other"), gone);
});

Deno.test("a poll whose keys use up the budget fails: its items do not count as items without a key", async () => {
  const { meters } = setUp(6_000);
  const items = [{ id: 1 }, { id: 2 }, { id: 3 }];
  await assert.rejects(keyItems({ items }, { key: "item.id", ignore: [] }, meters.of("dear")), BudgetError);
});
