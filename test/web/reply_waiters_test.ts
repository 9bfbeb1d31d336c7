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
  assert.deepEqual(await Promise.all(waiting), [REPLY, REPLY]);
  other.abort();
  assert.equal(await elsewhere, undefined);
});

Deno.test("the wait is over once all runs have ended without a reply", async () => {
  const waiters = new ReplyWaiters();
  const waiting = waiters.wait(EVENT, ["a", "b"], never());
  waiters.ended(EVENT, "a");
  waiters.ended(EVENT, "b");
  assert.equal(await waiting, undefined);
  assert.equal(await waiters.wait(EVENT, [], never()), undefined, "no run, no wait");
});

Deno.test("release() lets everybody go", async () => {
  const waiters = new ReplyWaiters();
  const waiting = [waiters.wait(EVENT, ["a"], never()), waiters.wait({ ...EVENT, id: "2" }, ["b"], never())];
  waiters.release();
  assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
});
