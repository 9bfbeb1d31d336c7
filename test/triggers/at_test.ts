import assert from "node:assert/strict";
import { at } from "../../runtime/triggers/at.ts";
import { Program, START } from "./fake_context.ts";

const DAY = 86_400_000;
const MOMENT = "2026-11-24T09:00:00+01:00";
const ID = "2026-11-24T08:00:00.000Z";

Deno.test("at emits once ever", async () => {
  let program = new Program(at, { at: MOMENT });
  await program.attach();
  await program.clock.advanceTo(START + 2 * DAY);
  assert.deepEqual(program.ids, [ID]);
  await program.detach();
  program = program.restarted();
  await program.attach();
  await program.clock.advanceTo(START + 3 * DAY);
  assert.deepEqual(program.ids, []);
  await program.detach();
});

Deno.test("at is caught up after any downtime", async () => {
  const program = new Program(at, { at: MOMENT });
  await program.attach();
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + 30 * DAY);
  await later.pass();
  assert.deepEqual(later.ids, [ID]);
});

Deno.test("at does not fire if its time was past at first load", async () => {
  const program = new Program(at, { at: "2020-01-01T00:00:00Z" });
  await program.attach();
  await program.clock.advanceTo(START + DAY);
  assert.deepEqual(program.ids, []);
  await program.detach();
});

Deno.test("at does not emit a second time after a clock error", async () => {
  const program = new Program(at, { at: MOMENT });
  await program.attach();
  await program.clock.advanceTo(START + 1);
  program.clock.jumpTo(Date.parse("2099-01-01T00:00:00Z"));
  await program.clock.advanceTo(Date.parse("2099-01-02T00:00:00Z"));
  program.clock.jumpTo(START);
  program.store.identities.clear();
  await program.clock.advanceTo(START + 2 * DAY);
  assert.deepEqual(program.ids, [ID]);
  await program.detach();
});

Deno.test("a time without offset, or an invalid one, is a problem", () => {
  for (const text of ["2027-01-01T09:00:00", "tomorrow", "2027-13-01T00:00:00Z"]) {
    assert.deepEqual(at.check!({ at: text }, START), [
      `expected a time with its offset such as 2027-01-01T09:00:00+01:00, got "${text}"`,
    ]);
  }
  assert.deepEqual(at.check!({ at: MOMENT }, START), []);
});
