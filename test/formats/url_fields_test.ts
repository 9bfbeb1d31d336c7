import assert from "node:assert/strict";
import { readFields } from "../../runtime/formats/url_fields.ts";

const many = (count: number) => Array.from({ length: count }, (_, index) => `f${index}=${index}`).join("&");

Deno.test("readFields() gives each field its value, or a list of its values in order", () => {
  const fields = readFields("b=1&a=x+y&b=%C3%A9&c&__proto__=2&=3&", "body");
  assert.deepEqual(Object.entries(fields), [["b", ["1", "é"]], ["a", "x y"], ["c", ""], ["__proto__", "2"], ["", "3"]]);
  assert.deepEqual(readFields("", "body"), {});
});

Deno.test("readFields() accepts 10,000 fields, of one name or of many, and refuses more without reading them", () => {
  assert.equal(readFields(many(10_000), "body").f9999, "9999");
  assert.equal(readFields("a=1&".repeat(9_999), "body").a.length, 9_999);
  for (const text of [many(10_001), "a&".repeat(10_000), "&".repeat(1_000_000)]) {
    assert.throws(() => readFields(text, "query"), /^Error: The query may have 10000 fields, not \d+$/);
  }
});
