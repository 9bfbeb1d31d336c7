import assert from "node:assert/strict";
import fc from "fast-check";
import { endOf, OrderedKeys } from "../../runtime/store/ledger/keys.ts";

const ats = fc.array(fc.stringMatching(/^[ab][a-d]{0,3}$/), { maxLength: 200 });

/** What happens to the keys between two reads. */
const step = fc.record({ added: ats, removed: ats, prefix: fc.constantFrom("", "a", "b", "ab", "bcd") });

Deno.test("ordered keys read the same as a sorted list, however many are added and removed between two reads", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 4 }), (steps) => {
    const keys = new OrderedKeys();
    const model = new Set<string>();
    for (const { added, removed, prefix } of steps) {
      for (const at of added) {
        keys.add(at, `key of ${at}`);
        model.add(at);
      }
      for (const at of removed) {
        keys.remove(at);
        model.delete(at);
      }
      const expected = [...model].filter((at) => at.startsWith(prefix)).sort();
      assert.deepEqual(keys.range(prefix, undefined, Infinity), expected.map((at) => `key of ${at}`));
      assert.deepEqual(keys.first(prefix)?.[0], expected[0]);
      assert.deepEqual(keys.last(prefix, endOf(prefix))?.[0], expected.at(-1));
    }
  }));
});
