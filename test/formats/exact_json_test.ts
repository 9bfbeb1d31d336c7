import fc from "fast-check";
import assert from "node:assert/strict";
import {
  NumberTooLargeError,
  parseJson,
  parseMaybeJson,
  readExactJson,
  readExactNumber,
  writeExactJson,
  writeRecordJson,
} from "../../runtime/formats/exact_json.ts";
import { readLazyJson, sourceOf } from "../../runtime/formats/lazy_json.ts";

/** JSON values as in the program: a BigInt is beyond the range of a double. */
const values = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 80n }),
    fc.bigInt({ min: -(2n ** 80n), max: -(2n ** 53n) }),
    fc.array(tie("value")),
    fc.dictionary(fc.string().filter((key) => key !== "__proto__"), tie("value"), { noNullPrototype: true }),
  ),
})).value;

Deno.test("writeRecordJson() writes what readExactJson() reads as the same values", () => {
  fc.assert(fc.property(values, (value) => assert.deepEqual(readExactJson(writeRecordJson(value)), value)));
  for (const value of [2 ** 53, 2 ** 60, -(2 ** 63), 1e20, 1e21, 1.7e308]) {
    assert.equal(readExactJson(writeRecordJson(value)), value);
  }
});

Deno.test("whole numbers are written exactly as read", () => {
  const text = '{"id":9007199254740993,"n":12345678901234567890,"neg":-9007199254740993,"f":1.5,"e":1e+21,"s":7}';
  const value = readExactJson(text);
  assert.deepEqual(value, {
    id: 9007199254740993n,
    n: 12345678901234567890n,
    neg: -9007199254740993n,
    f: 1.5,
    e: 1e21,
    s: 7,
  });
  assert.equal(writeExactJson(value), text);
  assert.equal(writeExactJson({ a: 9007199254740993n }, 2), '{\n  "a": 9007199254740993\n}');
});

Deno.test("a number that is too large for a double is an error that names its path", () => {
  const refuses = (text: string, path: string) =>
    assert.throws(() => readExactJson(text), (error) => error instanceof NumberTooLargeError && error.path === path);
  refuses('{"lines":[0,{"price":1e400}]}', "lines[1].price");
  refuses('{"a b":{"c":-1E+0309}}', '["a b"].c');
  refuses(`[${"9".repeat(310)}]`, "[0]");
  refuses("1e999", "");
  assert.equal(readExactJson("9".repeat(308)), BigInt("9".repeat(308)));
  assert.deepEqual(readExactJson('["1e400", 1e-400, 1e308]'), ["1e400", 0, 1e308]);
  assert.throws(() => parseJson("[1e400]", "data"), {
    name: "SyntaxError",
    message: "the number 1e400 at data[0] is too large: a number may have at most 309 digits",
  });
});

Deno.test("parseMaybeJson() treats a bare word that looks like a number as text, and a bad number within JSON as an error", () => {
  assert.equal(parseMaybeJson("71e4553"), undefined);
  assert.equal(parseMaybeJson("no"), undefined);
  assert.throws(() => parseMaybeJson('{"a":71e4553}'), /71e4553 at a is too large/);
});

Deno.test("readExactNumber() returns a BigInt if a double would round", () => {
  const read = ["9007199254740991", "9007199254740993", " -9007199254740993 ", "1.5", "1e21"].map(readExactNumber);
  assert.deepEqual(read, [9007199254740991, 9007199254740993n, -9007199254740993n, 1.5, 1e21]);
});

const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const objects = (levels: number) => '{"a":'.repeat(levels) + "1" + "}".repeat(levels);

Deno.test("data may be nested 500 levels deep, in lists, objects or both", () => {
  for (const text of [lists(500), objects(500), `[${objects(499)}]`]) {
    assert.deepEqual(parseJson(text), JSON.parse(text));
  }
  for (const text of [lists(501), objects(501), `[${objects(500)}]`, `{"a":${lists(500)}}`]) {
    assert.throws(() => parseJson(text), /nested deeper than 500 levels/);
  }
});

Deno.test("many brackets side by side do not count as depth, nor do those in strings", () => {
  const wide = JSON.stringify(Array.from({ length: 1_000 }, () => ({ a: [] })));
  const text = JSON.stringify("[{".repeat(1_000));
  assert.deepEqual([parseJson(wide), parseJson(text)], [JSON.parse(wide), JSON.parse(text)]);
});

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
