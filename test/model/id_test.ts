import assert from "node:assert/strict";
import { newId } from "../../runtime/model/id.ts";

Deno.test("newId() sorts by time, even within a millisecond and after a clock rollback", () => {
  const now = Date.UTC(2026, 10, 21);
  const ids = [now, now, now, now - 5_000, now + 1].map((time) => newId(time));
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[0-9a-hjkmnp-tv-z]{20}$/);
});

Deno.test("newId() keeps increasing beyond the ids of one millisecond", () => {
  const ids = Array.from({ length: 40_000 }, () => newId(Date.UTC(2026, 10, 21)));
  assert.ok(ids.every((id, index) => index === 0 || ids[index - 1] < id));
});
