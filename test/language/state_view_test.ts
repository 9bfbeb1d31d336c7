import assert from "node:assert/strict";
import { evaluate } from "../../runtime/language/expressions/expression.ts";
import { withState } from "../../runtime/language/expressions/state_view.ts";

function reader(stored: Record<string, number>) {
  const asked: string[][] = [];
  const read = (keys: string[]) => {
    asked.push(keys);
    return Promise.resolve(Object.fromEntries(Object.entries(stored).filter(([key]) => keys.includes(key))));
  };
  return { asked, read };
}

Deno.test("an expression without state reads nothing", async () => {
  const { asked, read } = reader({});
  assert.equal(await withState(read, (state) => evaluate("1 + 1", { state: state() })), 2);
  assert.deepEqual(asked, []);
});

Deno.test("computed keys are read when they appear, each once", async () => {
  const { asked, read } = reader({ "up/a": 1, "n1": 7 });
  const text = "state['n' + string(state['up/' + event.subject])] + state['up/a']";
  assert.equal(await withState(read, (state) => evaluate(text, { state: state(), event: { subject: "a" } })), 8);
  assert.deepEqual(asked, [["up/a"], ["n1"]]);
});

Deno.test("a missing key is absent", async () => {
  const { read } = reader({ a: 1 });
  assert.equal(await withState(read, (state) => evaluate("default(state['b'], 5) + state.a", { state: state() })), 6);
  assert.deepEqual(
    await withState(read, (state) => evaluate("['a' in state, 'b' in state, has(state.b)]", { state: state() })),
    [true, false, false],
  );
  await assert.rejects(withState(read, (state) => evaluate("state['b']", { state: state() })), /state has no key "b"/);
});
