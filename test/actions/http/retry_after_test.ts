import assert from "node:assert/strict";
import { readRetryAfter } from "../../../runtime/actions/http/headers.ts";

const NOW = Date.parse("2026-11-21T07:00:00Z");
const read = (headers: Record<string, string>) => readRetryAfter(new Headers(headers), NOW);

Deno.test("Retry-After in seconds", () => {
  assert.equal(read({ "retry-after": "120" }), 120_000);
  assert.equal(read({ "retry-after": " 0 " }), 0);
});

Deno.test("Retry-After as a date counts from the answer's Date, else from now, and never backwards", () => {
  const until = new Date(NOW + 60_000).toUTCString();
  assert.equal(read({ "retry-after": until }), 60_000);
  assert.equal(read({ "retry-after": until, date: new Date(NOW + 50_000).toUTCString() }), 10_000);
  assert.equal(read({ "retry-after": new Date(NOW - 1).toUTCString() }), 0);
});

Deno.test("a Retry-After of over a day counts as a day, an invalid one is ignored", () => {
  assert.equal(read({ "retry-after": "99999999999999999999" }), 86_400_000);
  assert.equal(read({ "retry-after": "soon" }), undefined);
  assert.equal(read({ "retry-after": "-5" }), undefined);
  assert.equal(read({}), undefined);
});
