import assert from "node:assert/strict";
import { state } from "../../runtime/actions/state.ts";
import { makeContext } from "./context.ts";

const services = { getState: (key: string) => Promise.resolve(key === "up/a" ? 7 : undefined) };

Deno.test("state without a value reads, null if nothing is stored", async () => {
  assert.deepEqual(await state.execute({ state: "up/a" }, makeContext({ services })), { output: 7 });
  assert.deepEqual(await state.execute({ state: "up/b" }, makeContext({ services })), { output: null });
});

Deno.test("state with a value sets it together with the step's record", async () => {
  const outcome = await state.execute({ state: "up/a", value: null, ttl: 1_000 }, makeContext({ services }));
  assert.deepEqual(outcome, { output: 7, effects: { state: { key: "up/a", value: null, ttl: 1_000 } } });
});
