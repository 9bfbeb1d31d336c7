import assert from "node:assert/strict";
import { z } from "zod";
import { asIn, parseWith } from "../../runtime/language/checker/sentences.ts";

const schema = z.object({ repeat: z.strictObject({ times: z.number() }, asIn("repeat: { times: 3 }")) });
const problems = (repeat: unknown) => parseWith(schema, { repeat }).problems;

Deno.test("a value that is not an object gets a hint how to write one; problems inside are reported as usual", () => {
  assert.deepEqual(problems(3), [
    { path: ["repeat"], part: "value", message: "expected an object, got 3", hint: "as in repeat: { times: 3 }" },
  ]);
  assert.deepEqual(problems({ tims: 3 }), [
    { path: ["repeat", "tims"], part: "key", message: 'unknown key "tims"', hint: 'did you mean "times"?' },
  ]);
  assert.deepEqual(problems({ times: "x" }).map(({ message }) => message), ['expected a number, got "x"']);
});
