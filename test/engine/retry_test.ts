import assert from "node:assert/strict";
import fc from "fast-check";
import { RetryAfterError, TerminalError } from "../../runtime/model/errors.ts";
import { ExpressionError } from "../../runtime/language/expressions/expression.ts";
import { type FailedAttempt, retryAt } from "../../runtime/engine/retry.ts";

function failed(change: Partial<FailedAttempt>): FailedAttempt {
  const policy = { attempts: 10, delay: 1_000, max: 60_000 };
  return { error: new Error("no"), attempts: 1, policy, worthwhile: true, now: 0, random: () => 1, ...change };
}

Deno.test("delays double up to the maximum, with full jitter", () => {
  const delays = [1, 2, 3, 7, 9].map((attempts) => retryAt(failed({ attempts })));
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 60_000, 60_000]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
      const due = retryAt(failed({ attempts, random: () => random, now: 5 }))!;
      assert.ok(due >= 5 && due <= 5 + Math.min(60_000, 1_000 * 2 ** (attempts - 1)));
    }),
  );
});

Deno.test("a RetryAfterError sets the time of the next attempt; terminal and expression errors are never retried", () => {
  assert.equal(retryAt(failed({ error: new RetryAfterError("busy", 7_000), worthwhile: false })), 7_000);
  assert.equal(retryAt(failed({ error: new RetryAfterError("busy", 7_000), attempts: 10 })), undefined);
  assert.equal(retryAt(failed({ error: new TerminalError("no") })), undefined);
  assert.equal(retryAt(failed({ error: new ExpressionError("no") })), undefined);
  assert.equal(retryAt(failed({ worthwhile: false })), undefined);
});
