import assert from "node:assert/strict";
import { LruCache } from "../../runtime/language/expressions/lru_cache.ts";

function counting() {
  const made: string[] = [];
  const recent = new LruCache((text: string) => {
    made.push(text);
    return { text };
  });
  return { made, get: (text: string) => recent.get(text), expect: (count: number) => recent.expect(count) };
}

Deno.test("entries in use stay, among any number that is used once", () => {
  const { made, get } = counting();
  for (let turn = 0; turn < 10_000; turn++) {
    assert.equal(get("used").text, "used");
    get(`once ${turn}`);
  }
  assert.equal(made.filter((text) => text === "used").length, 1);
});

Deno.test("the whole expected set stays, in any order of use", () => {
  const { made, get, expect } = counting();
  expect(10_000);
  for (let round = 0; round < 10; round++) {
    for (let rule = 0; rule < 10_000; rule++) get(`rule ${rule}`);
  }
  assert.equal(made.length, 10_000);
});

Deno.test("unused entries are evicted", () => {
  const { made, get } = counting();
  for (let turn = 0; turn < 5_000; turn++) get(`once ${turn}`);
  for (let turn = 0; turn < 4_000; turn++) get(`once ${turn}`);
  assert.equal(made.length, 9_000, "all were evicted");
});
