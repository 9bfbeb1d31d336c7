import assert from "node:assert/strict";
import { parseJson } from "../../runtime/formats/parse_json.ts";

const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const objects = (levels: number) => '{"a":'.repeat(levels) + "1" + "}".repeat(levels);

Deno.test("data may be nested 500 levels deep, in lists, objects or both", () => {
  for (const text of [lists(500), objects(500), `[${objects(499)}]`]) {
    assert.deepEqual(parseJson(text), JSON.parse(text));
  }
  for (const text of [lists(501), objects(501), `[${objects(500)}]`, `{"a":${lists(500)}}`]) {
    assert.throws(() => parseJson(text), /nested deeper than 500 levels/);
  }
});

Deno.test("many brackets side by side do not count as depth, nor do those in strings", () => {
  const wide = JSON.stringify(Array.from({ length: 1_000 }, () => ({ a: [] })));
  const text = JSON.stringify("[{".repeat(1_000));
  assert.deepEqual([parseJson(wide), parseJson(text)], [JSON.parse(wide), JSON.parse(text)]);
});
