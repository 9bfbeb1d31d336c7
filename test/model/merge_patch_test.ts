import assert from "node:assert/strict";
import fc from "fast-check";
import { applyMergePatch, composePatches, mergePatchOf, takeOver } from "../../runtime/model/merge_patch.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";

/** Target, patch and result of the appendix of RFC 7396. */
const CASES: [Json, Json, Json][] = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [["a", "b"], ["c", "d"], ["c", "d"]],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

Deno.test("merge patches are applied as in the appendix of RFC 7396, and change nothing in place", () => {
  for (const [target, patch, result] of CASES) {
    const before = JSON.stringify([target, patch]);
    assert.deepEqual(applyMergePatch(target, patch), result, before);
    assert.equal(JSON.stringify([target, patch]), before);
  }
});

Deno.test("a patch from one object to another makes the other, and is empty if they are the same", () => {
  const key = fc.constantFrom("a", "b", "c", "__proto__");
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<Json>(1, 2, "x", true, []),
      fc.array(fc.constantFrom<Json>(1, "x")),
      fc.dictionary(key, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  const object = fc.dictionary(key, value, { noNullPrototype: true }) as fc.Arbitrary<JsonObject>;
  fc.assert(fc.property(object, object, (from, to) => {
    const patch = mergePatchOf(from, to);
    assert.deepEqual(applyMergePatch(from, patch), to);
    assert.equal(Object.keys(mergePatchOf(from, from)).length, 0);
  }));
});

Deno.test("only what differs is in a patch, at any depth", () => {
  const from = { name: "a", tags: [1], due: { on: "x", at: 1 }, gone: 1, none: null };
  const to = { name: "a", tags: [1, 2], due: { on: "x", at: 2 }, none: null };
  assert.deepEqual(mergePatchOf(from, to), { gone: null, tags: [1, 2], due: { at: 2 } });
});

Deno.test("composed patches do what both do, and keep what they remove", () => {
  const [first, second] = [{ a: null, b: { c: 1, d: null } }, { b: { c: 2 }, e: null }];
  assert.deepEqual(composePatches(first, second), { a: null, b: { c: 2, d: null }, e: null });
  assert.deepEqual(composePatches({}, { a: null }), { a: null });
});

Deno.test("only what was sent is taken over from an answer, as the answer has it", () => {
  const item = { name: "a", due: { on: "x", at: 1 }, gone: 1 };
  const sent = { name: "b", due: { on: "y" }, gone: null };
  const answer = { name: "B", due: { on: "Y", at: 9 }, other: 1 };
  assert.deepEqual(takeOver(item, sent, answer), { name: "B", due: { on: "Y", at: 1 } });
});
