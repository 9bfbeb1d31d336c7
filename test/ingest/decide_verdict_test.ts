import assert from "node:assert/strict";
import { decide } from "../../runtime/ingest/decide_verdict.ts";
import type { Event } from "../../runtime/model/event.ts";
import type { Rule, Trigger } from "../../runtime/model/rule.ts";
import { plainRule } from "../model/plain_rule.ts";

const at = { line: 1, column: 1 };
const trigger: Trigger = { id: "event a", kind: "event", at, args: {} };
const rule = plainRule({ id: "r", version: "v", triggers: [trigger], timeout: 1_000 });
const event: Event = { id: "1", source: "/a", type: "a", time: "2026-11-21T00:00:00Z", data: { sku: "x", price: 5 } };
const scope = { event, config: { limit: 10 } };
const NOW = Date.parse("2026-11-21T00:00:00Z");

/** The verdict on an event. */
const decideOn = (event: Event, rule: Rule, trigger: Trigger, paused: string | undefined) =>
  decide(event, rule, trigger, paused, scope, NOW);

Deno.test("a rule without condition admits events by its mode, key and limit", () => {
  const limit = { count: 5, per: 1_000 };
  const outcome = decideOn(event, { ...rule, mode: "single", key: "event.data.sku", limit }, trigger, undefined);
  assert.deepEqual(outcome, { kind: "admit", mode: "single", key: '"x"', max: 10, limit, asksFirst: false });
});

Deno.test("a false clause is named with its values; the trigger's own comes first", () => {
  const withClauses = { ...rule, if: [{ text: "event.data.price > config.limit", at }] };
  const outcome = decideOn(event, withClauses, trigger, undefined);
  assert.equal(outcome.kind, "condition");
  assert.ok(outcome.kind === "condition");
  assert.equal(outcome.clause, "event.data.price > config.limit");
  assert.deepEqual(outcome.values, { "event.data.price": 5, "config.limit": 10 });
  const both = decideOn(
    event,
    withClauses,
    { ...trigger, if: [{ text: "event.data.sku == 'y'", at }] },
    undefined,
  );
  assert.ok(both.kind === "condition" && both.clause === "event.data.sku == 'y'");
});

Deno.test("a missing key is the verdict condition, and its reason names the key", () => {
  const outcome = decideOn(
    event,
    { ...rule, if: [{ text: "event.data.colour == 'red'", at }] },
    trigger,
    undefined,
  );
  assert.ok(outcome.kind === "condition");
  assert.match(outcome.reason, /event\.data\.colour/);
});

Deno.test("a key that cannot be evaluated is the verdict error", () => {
  const outcome = decideOn(event, { ...rule, key: "event.data.colour" }, trigger, undefined);
  assert.ok(outcome.kind === "error");
  assert.match(outcome.reason, /event\.data\.colour/);
});

Deno.test("disabled, paused and looped rules have verdicts of their own", () => {
  assert.equal(decideOn(event, { ...rule, enabled: false }, trigger, undefined).kind, "disabled");
  const paused = decideOn(event, rule, trigger, "by anna");
  assert.ok(paused.kind === "disabled" && paused.reason.includes("by anna"));
  assert.equal(decideOn({ ...event, cause: { depth: 16, run: "x" } }, rule, trigger, undefined).kind, "admit");
  assert.equal(decideOn({ ...event, cause: { depth: 17, run: "x" } }, rule, trigger, undefined).kind, "looped");
});
