import assert from "node:assert/strict";
import { Bloom } from "../../../runtime/store/history/bloom.ts";
import { runId } from "./helpers.ts";

function wrongOf(bitsEach: number, name: (nth: number) => string): number {
  const count = 5000;
  const texts = new Set(Array.from({ length: count }, (_, nth) => name(nth)));
  const bloom = Bloom.from(JSON.parse(JSON.stringify(Bloom.of(texts, bitsEach).toData())));
  for (const text of texts) assert.ok(bloom.mayHave(text));
  const tries = 200_000;
  let wrong = 0;
  for (let nth = count; nth < count + tries; nth++) if (bloom.mayHave(name(nth))) wrong++;
  return wrong / tries;
}

Deno.test("a Bloom filter has no false negatives, and as few false positives as its size allows", () => {
  for (const name of [(nth: number) => `customer-${nth}`, (nth: number) => `run/${runId(nth)}`, String]) {
    const [small, large] = [wrongOf(10, name), wrongOf(20, name)];
    assert.ok(small < 0.012, `10 bits: ${small}`);
    assert.ok(large < 0.0003, `20 bits: ${large}`);
  }
});

Deno.test("an empty Bloom filter contains nothing", () => {
  assert.deepEqual(Bloom.of(new Set(), 10).toData().bits, "");
  assert.equal(Bloom.from(Bloom.of(new Set(), 10).toData()).mayHave(""), false);
});
