import assert from "node:assert/strict";
import { CauseSigner, chainEnd } from "../../runtime/ingest/cause.ts";
import { decide } from "../../runtime/ingest/decide_verdict.ts";
import { Subscriptions } from "../../runtime/ingest/ingest.ts";
import { causeOf, type Event } from "../../runtime/model/event.ts";
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

const key = new Uint8Array(32).fill(7);

Deno.test("a signed cause is read back unchanged; a forged, changed or foreign one is ignored", () => {
  const signer = new CauseSigner(key);
  const header = signer.sign({ depth: 3, run: "r1" });
  assert.deepEqual(signer.verify(header), { depth: 3, run: "r1" });
  for (const wrong of [undefined, "", "3.r1", header.replace("3.", "2."), `${header}x`, header.replace("r1", "r2")]) {
    assert.equal(signer.verify(wrong), undefined, `${wrong}`);
  }
  assert.equal(new CauseSigner(new Uint8Array(32).fill(8)).verify(header), undefined);
});

Deno.test("each run is one deeper than its event", () => {
  const event = { id: "1", source: "/a", type: "a", time: "2026-11-21T00:00:00Z", data: null };
  const caused = { ...event, cause: { depth: 1, run: "r1" } };
  assert.deepEqual(causeOf({ id: "r1", rule: "a", event }), { depth: 1, run: "r1" });
  assert.deepEqual(causeOf({ id: "r2", rule: "a", event: caused }), { depth: 2, run: "r2" });
});

Deno.test("a run that an own event started ends the chain at its rule, also after a request", () => {
  const event = { id: "1", source: "/whenthen", type: "whenthen.run.failed", time: "2026-11-21T00:00:00Z", data: null };
  const signer = new CauseSigner(key);
  const cause = signer.verify(signer.sign(causeOf({ id: "r1", rule: "ops/alert", event })))!;
  assert.deepEqual(cause, { depth: 1, run: "r1", own: ["ops/alert"] });
  const caused = { ...event, type: "noted", cause };
  assert.equal(chainEnd(caused, "ops/alert")?.kind, "looped");
  assert.equal(chainEnd(caused, "other"), undefined);
  assert.deepEqual(causeOf({ id: "r2", rule: "other", event: caused }).own, ["ops/alert"]);
});

const subscription = (rule: string, ...types: string[]) => ({ rule, trigger: "t", types });

Deno.test("an event matches its exact type, every prefix, and the star", () => {
  const subscriptions = new Subscriptions();
  subscriptions.add(subscription("exact", "order.paid.late"));
  subscriptions.add(subscription("near", "order.paid.*"));
  subscriptions.add(subscription("far", "order.*"));
  subscriptions.add(subscription("all", "*"));
  subscriptions.add(subscription("other", "orders.*", "order"));
  const rules = (type: string) => subscriptions.of(type).map(({ rule }) => rule).sort();
  assert.deepEqual(rules("order.paid.late"), ["all", "exact", "far", "near"]);
  assert.deepEqual(rules("order.paid"), ["all", "far"]);
  assert.deepEqual(rules("order"), ["all", "other"]);
});

Deno.test("a subscription that matches by two types is called once, and not after its removal", () => {
  const subscriptions = new Subscriptions();
  const remove = subscriptions.add(subscription("twice", "a.b", "a.*"));
  assert.equal(subscriptions.of("a.b").length, 1);
  remove();
  assert.deepEqual(subscriptions.of("a.b"), []);
});

Deno.test("has() follows who listens to own events, however often one is named", () => {
  const subscriptions = new Subscriptions();
  const isHeard = () => subscriptions.has("whenthen.run.failed");
  subscriptions.add(subscription("all", "*", "order.*"));
  assert.deepEqual([isHeard(), subscriptions.has("order.paid")], [false, true]);
  const removals = [
    subscriptions.add(subscription("twice", "whenthen.run.failed", "whenthen.run.failed", "whenthen.run.*")),
    subscriptions.add(subscription("far", "whenthen.*")),
  ];
  for (const remove of removals) {
    assert.equal(isHeard(), true);
    remove();
    remove();
  }
  assert.equal(isHeard(), false);
  subscriptions.add(subscription("later", "whenthen.run.*"));
  assert.equal(isHeard(), true);
});
