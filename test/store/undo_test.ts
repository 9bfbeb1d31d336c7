import assert from "node:assert/strict";
import fc from "fast-check";
import { encode } from "../../runtime/store/ledger/encode.ts";
import { dump, execute, operation, rebuilt, State } from "./state.ts";

Deno.test("an undo restores rows, indexes, counts, bytes and pending writes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(operation, fc.boolean()), { minLength: 20, maxLength: 80 }), (operations) => {
      const state = new State();
      const { rows } = state;
      const groups = new Map();
      for (const [each, isFrame] of operations) {
        state.now += 500;
        const before = [dump(rows, groups), rows.bytes, rows.changes()];
        const copy = structuredClone(before);
        const mark = rows.mark();
        execute(state, each);
        rows.undo(mark);
        assert.deepEqual([dump(rows, groups), rows.bytes, rows.changes()], copy);
        execute(state, each);
        if (isFrame) state.remember(encode(rows).history);
      }
    }),
    { numRuns: 80 },
  );
});

Deno.test("indexes and counts agree with the rows, after any changes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(operation, fc.boolean()), { minLength: 40, maxLength: 120 }), (operations) => {
      const state = new State();
      const groups = new Map();
      for (const [each, isRead] of operations) {
        state.now += 500;
        execute(state, each);
        state.remember(encode(state.rows).history);
        // New rows enter an index when it is read, so it is not read after each operation.
        if (isRead) assert.deepEqual(dump(state.rows, groups), dump(rebuilt(state.rows), groups));
      }
    }),
    { numRuns: 60 },
  );
});
