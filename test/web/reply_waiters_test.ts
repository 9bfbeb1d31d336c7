import assert from "node:assert/strict";
import { ReplyWaiters } from "../../runtime/web/reply_waiters.ts";

const EVENT = { source: "/hooks/a", id: "1" };
const REPLY = { status: 200, headers: {}, body: "hi" };
const never = () => new AbortController().signal;

Deno.test("a reply reaches everybody who waits for its event, and nobody else", async () => {
  const waiters = new ReplyWaiters();
  const other = new AbortController();
  const waiting = [waiters.wait(EVENT, ["r"], never()), waiters.wait(EVENT, ["r"], never())];
  const elsewhere = waiters.wait({ ...EVENT, id: "2" }, ["r"], other.signal);
  waiters.answered(EVENT, REPLY);
  assert.deepEqual(await Promise.all(waiting), [{ reply: REPLY }, { reply: REPLY }]);
  other.abort();
  assert.deepEqual(await elsewhere, {});
});

Deno.test("the wait ends when all runs have ended without a reply", async () => {
  const waiters = new ReplyWaiters();
  const waiting = waiters.wait(EVENT, ["a", "b"], never());
  waiters.ended(EVENT, { id: "a", rule: "pay", state: "failed" });
  waiters.ended(EVENT, { id: "b", rule: "log", state: "succeeded" });
  assert.deepEqual(await waiting, { failed: ["pay"] });
  assert.deepEqual(await waiters.wait(EVENT, [], never()), {}, "no run, no wait");
});

Deno.test("a reply is awaited before the delivery starts, until all its requests are answered", async () => {
  const waiters = new ReplyWaiters();
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const answers = [waiters.during([EVENT], () => first.promise), waiters.during([EVENT], () => second.promise)];
  assert.deepEqual([waiters.isAwaited(EVENT), waiters.isAwaited({ ...EVENT, id: "2" })], [true, false]);
  first.resolve();
  await answers[0];
  assert.equal(waiters.isAwaited(EVENT), true);
  second.reject(new Error("the store is full"));
  await assert.rejects(answers[1]);
  assert.equal(waiters.isAwaited(EVENT), false);
});

Deno.test("release() ends all waits", async () => {
  const waiters = new ReplyWaiters();
  const waiting = [waiters.wait(EVENT, ["a"], never()), waiters.wait({ ...EVENT, id: "2" }, ["b"], never())];
  waiters.release();
  assert.deepEqual(await Promise.all(waiting), [{}, {}]);
});
