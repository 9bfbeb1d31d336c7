import assert from "node:assert/strict";
import fc from "fast-check";
import { plainJson } from "../../runtime/workers/plain_json.ts";
import type { Json } from "../../runtime/model/json.ts";

Deno.test("plainJson() returns what JSON would", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assert.deepEqual(plainJson(value, "it"), JSON.parse(JSON.stringify(value)) as Json);
  }));
  assert.deepEqual(plainJson({ a: undefined, b: [undefined, { toJSON: () => "x" }] }, "it"), { b: [null, "x"] });
  assert.equal(plainJson(undefined, "it"), null);
});

Deno.test("plainJson() names the path and the type of a value that JSON cannot represent", () => {
  const message = (value: unknown) => {
    try {
      return plainJson(value, "it");
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
  };
  const circle: Record<string, unknown> = {};
  circle.self = [circle];
  assert.equal(message(new Map()), "TerminalError: it is a Map, which JSON cannot represent: use Object.fromEntries()");
  assert.equal(
    message({ "a b": [Symbol()] }),
    'TerminalError: it has a symbol at ["a b"][0], which JSON cannot represent',
  );
  assert.match(String(message([10n ** 400n])), /a number too large for a double at \[0\]/);
  assert.equal(message([NaN]), "TerminalError: it has NaN at [0], which JSON cannot represent");
  assert.equal(message({ f() {} }), "TerminalError: it has a function at f, which JSON cannot represent");
  assert.equal(
    message({ p: Promise.resolve() }),
    "TerminalError: it has a Promise at p, which JSON cannot represent: await it",
  );
  assert.match(String(message(circle)), /a reference to itself at self\[0\]/);
  const twice = { n: 1 };
  assert.deepEqual(plainJson([twice, twice], "it"), [twice, twice]);
});

Deno.test("plainJson() keeps whole numbers beyond 2^53, smaller BigInts become numbers", () => {
  assert.deepEqual(plainJson([9007199254740993n, -(2n ** 63n), 5n, 2 ** 60], "it"), [
    9007199254740993n,
    -(2n ** 63n),
    5,
    2 ** 60,
  ]);
});
