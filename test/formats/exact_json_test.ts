import assert from "node:assert/strict";
import fc from "fast-check";
import {
  NumberTooLargeError,
  readExactJson,
  readExactNumber,
  writeExactJson,
  writeRecordJson,
} from "../../runtime/formats/exact_json.ts";
import { parseJson, parseMaybeJson } from "../../runtime/formats/parse_json.ts";

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
