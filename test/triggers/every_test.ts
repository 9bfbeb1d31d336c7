import assert from "node:assert/strict";
import { every } from "../../runtime/triggers/every.ts";
import { Program, START } from "./fake_context.ts";

const MINUTE = 60_000;
const at = (minutes: number) => new Date(START + minutes * MINUTE).toISOString();

Deno.test("every emits first one interval after the first load, then at a true interval", async () => {
  const program = new Program(every, { every: "10m" });
  await program.attach();
  await program.clock.advanceTo(START + 35 * MINUTE);
  assert.deepEqual(program.ids, [at(10), at(20), at(30)]);
  await program.detach();
});

Deno.test("every keeps its interval across restarts: times missed meanwhile are caught up once", async () => {
  const program = new Program(every, { every: "10m" });
  await program.attach();
  await program.clock.advanceTo(START + 12 * MINUTE);
  await program.detach();
  const later = program.restarted();
  later.clock.jumpTo(START + 47 * MINUTE);
  await later.attach();
  await later.clock.advanceTo(START + 55 * MINUTE);
  assert.deepEqual(later.ids, [at(40), at(50)]);
  await later.detach();
});

Deno.test("every with missed: skip stays on its grid, with missed: all emits each", async () => {
  for (const [missed, expected] of [["skip", [at(50)]], ["all", [at(20), at(30), at(40), at(50)]]] as const) {
    const program = new Program(every, { every: "10m", missed });
    await program.attach();
    await program.clock.advanceTo(START + 12 * MINUTE);
    await program.detach();
    const later = program.restarted();
    later.clock.jumpTo(START + 47 * MINUTE);
    await later.attach();
    await later.clock.advanceTo(START + 55 * MINUTE);
    assert.deepEqual(later.ids, expected);
    await later.detach();
  }
});

Deno.test("every continues after a clock error into 2099", async () => {
  const program = new Program(every, { every: "10m" });
  await program.attach();
  await program.clock.advanceTo(START + 5 * MINUTE);
  program.clock.jumpTo(Date.parse("2099-01-01T00:00:00Z"));
  await program.clock.advanceTo(Date.parse("2099-01-01T00:20:00Z"));
  program.clock.jumpTo(START + 30 * MINUTE);
  await program.clock.advanceTo(START + 45 * MINUTE);
  assert.equal(program.warnings.length, 1);
  assert.equal(program.ids.at(-1), at(40));
  await program.detach();
});

Deno.test("an interval of zero is a problem", () => {
  assert.deepEqual(every.check!({ every: 0 }, START), ["expected an interval of at least 100ms, got 0ms"]);
  assert.equal(every.address({ every: 5 * MINUTE }), "every 5m");
});
