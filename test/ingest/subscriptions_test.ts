import assert from "node:assert/strict";
import { Subscriptions } from "../../runtime/ingest/ingest.ts";

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
