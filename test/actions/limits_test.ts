import assert from "node:assert/strict";
import { RequestLimits } from "../../runtime/actions/http_send.ts";
import { ManualClock } from "../../runtime/host/clock.ts";

const SECOND = 1_000;

/** When each of many requests may be sent, in milliseconds, to a host with this limit. */
async function times(count: number, rate: { count: number; per: number }, share?: () => number): Promise<number[]> {
  const clock = new ManualClock(0);
  const limits = new RequestLimits(clock, share);
  limits.setRates({ "api.example.org": rate });
  const url = new URL("https://api.example.org/");
  const sent: number[] = [];
  const all = Array.from({ length: count }, async () => {
    await limits.admit(url, new AbortController().signal);
    sent.push(clock.now());
  });
  await clock.advanceTo(100 * SECOND);
  await Promise.all(all);
  return sent;
}

Deno.test("a burst passes at once, the rest at the rate", async () => {
  assert.deepEqual(await times(6, { count: 4, per: SECOND }), [0, 0, 0, 0, 250, 500]);
});

Deno.test("of two replicas each sends at half of the rate, and half of the burst", async () => {
  assert.deepEqual(await times(5, { count: 4, per: SECOND }, () => 1 / 2), [0, 0, 500, 1_000, 1_500]);
});

Deno.test("a share of less than one request still lets one pass at once, and together they keep the rate", async () => {
  assert.deepEqual(await times(3, { count: 1, per: SECOND }, () => 1 / 3), [0, 3_000, 6_000]);
});
