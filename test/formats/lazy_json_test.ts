import assert from "node:assert/strict";
import fc from "fast-check";
import { readLazyJson, sourceOf } from "../../runtime/formats/lazy_json.ts";
import { parseJson } from "../../runtime/formats/parse_json.ts";

const LONG = Array.from({ length: 40 }, (_, at) => ({ sku: `S-${at}`, price: 9.5 }));

function read(parse: (text: string) => unknown, text: string): unknown {
  try {
    return { value: parse(text) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** Texts that are JSON, or nearly. */
const texts = fc.tuple(
  fc.dictionary(fc.string(), fc.oneof(fc.json(), fc.constant(JSON.stringify(LONG))), { maxKeys: 5 }),
  fc.constantFrom("", " ", "\n"),
  fc.array(fc.tuple(fc.nat(2_000), fc.string({ maxLength: 2 })), { maxLength: 2 }),
).map(([members, space, edits]) => {
  const text = `{${Object.entries(members).map(([key, json]) => JSON.stringify(key) + space + ":" + json).join(",")}}`;
  return edits.reduce((edited, [at, by]) => {
    const place = at % (edited.length + 1);
    return edited.slice(0, place) + by + edited.slice(place + 1);
  }, text);
});

Deno.test("readLazyJson() gives the same value, or the same error, as parseJson()", () => {
  fc.assert(
    fc.property(texts, (text) => assert.deepEqual(read(readLazyJson, text), read(parseJson, text))),
    { numRuns: 2_000 },
  );
});

for (
  const [what, text] of Object.entries({
    "a number that runs into a long member": `{"a":${JSON.stringify(LONG)}.5}`,
    "no comma after a long member": `{"a":${JSON.stringify(LONG)} "b":1}`,
    "a name twice": `{"a":${JSON.stringify(LONG)},"a":1}`,
    "a long member named __proto__": `{"__proto__":${JSON.stringify(LONG)}}`,
    "an escaped name": `{"\\u0061":${JSON.stringify(LONG)}}`,
    "text after the end": `{"a":${JSON.stringify(LONG)}} x`,
    "a lone bracket": `{"a":${JSON.stringify(LONG)}`,
    "a number beyond 2^53 inside": `{"a":[${"1,".repeat(100)}9007199254740993]}`,
    "a number that is too large inside": `{"a":[${"1,".repeat(100)}1e999]}`,
    "a zero before a number inside": `{"a":[${"1,".repeat(100)}01]}`,
    "a control character inside": `{"a":[${"1,".repeat(100)}"\u0001"]}`,
    "a wrong escape inside": `{"a":[${"1,".repeat(100)}"\\x"]}`,
    "deep nesting inside": `{"a":${"[".repeat(600)}${"]".repeat(600)}}`,
    "an empty list inside": `{"a":[${"[],{},".repeat(50)}[ ]]}`,
    "a comma at the end": `{"a":[${"1,".repeat(100)}]}`,
  })
) {
  Deno.test(`readLazyJson() treats ${what} as parseJson() does`, () => {
    assert.deepEqual(read(readLazyJson, text), read(parseJson, text));
  });
}

Deno.test("what readLazyJson() gives behaves as a plain object", () => {
  const plain = { id: 1, lines: LONG, last: { long: "x".repeat(200) } };
  const text = JSON.stringify(plain);
  const looks: ((it: object) => unknown)[] = [JSON.stringify, Object.entries, structuredClone, (it) => ({ ...it })];
  for (const look of looks) {
    assert.deepEqual(look(readLazyJson(text) as object), look(plain));
  }
  const lazy = readLazyJson(text) as unknown as typeof plain;
  assert.equal(lazy.lines, lazy.lines);
  assert.deepEqual(lazy.lines[3], LONG[3]);
  assert.deepEqual(
    Object.getOwnPropertyDescriptor(lazy, "lines"),
    Object.getOwnPropertyDescriptor({ lines: lazy.lines }, "lines"),
  );
});

Deno.test("sourceOf() gives the text that a value was read from, if all texts and numbers are in it as they are written", () => {
  const text = JSON.stringify({ lines: LONG });
  assert.equal(sourceOf(readLazyJson(text)), text);
  assert.equal(sourceOf(readLazyJson(text.replace("{", "{\n"))), undefined);
  assert.equal(sourceOf(readLazyJson('{"a":1}')), undefined);
  for (const odd of ['"\\u0041"', '"\\/"', "1e3", "0.0000001", "12345678901234567890"]) {
    assert.equal(sourceOf(readLazyJson(text.replace("9.5", odd))), undefined, odd);
  }
});
