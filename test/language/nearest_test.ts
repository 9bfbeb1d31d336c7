import assert from "node:assert/strict";
import { nearest } from "../../runtime/language/hints.ts";

Deno.test("a typo finds the intended word", () => {
  const words = ["cron", "poll", "timeout", "retry", "onError"];
  assert.deepEqual(["crn", "pol", "tiemout", "rety", "onerror"].map((word) => nearest(word, words)), words);
});

Deno.test("another word finds nothing", () => {
  assert.equal(nearest("channel", ["cron", "poll", "timeout"]), undefined);
  assert.equal(nearest("x", ["on", "if"]), undefined);
});
