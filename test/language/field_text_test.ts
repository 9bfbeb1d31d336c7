import assert from "node:assert/strict";
import type { Json } from "../../runtime/model/json.ts";
import type { Field } from "../../runtime/model/rule.ts";
import { valueOfText } from "../../runtime/language/fields/field_text.ts";
import { textOfValue } from "../../runtime/language/fields/field_value.ts";

const read = (type: Field["type"], text: string, more: Partial<Field> = {}) =>
  valueOfText({ type, required: true, ...more }, text);

Deno.test("a text is read by the type of its field", () => {
  const cases: [Field["type"], string, Json | undefined][] = [
    ["text", " two\r\nlines ", " two\nlines "],
    ["number", " 2.5 ", 2.5],
    ["boolean", "Yes", true],
    ["boolean", "false", false],
    ["list", "a\r\n\n b ", ["a", "b"]],
    ["date", " 2027-01-31 ", "2027-01-31"],
    ["duration", "2h", "2h"],
  ];
  for (const [type, text, value] of cases) assert.deepEqual(read(type, text), value, type);
  assert.equal(read("choice", "1", { choices: ["a", 1] }), 1);
});

Deno.test("an empty text is no value, and an invalid one stays text", () => {
  for (const type of ["text", "number", "boolean", "list", "date"] as const) assert.equal(read(type, " \n"), undefined);
  assert.equal(read("number", "many"), "many");
  assert.equal(read("number", "Infinity"), "Infinity");
  assert.equal(read("boolean", "perhaps"), "perhaps");
  assert.equal(read("choice", "c", { choices: ["a", "b"] }), "c");
});

Deno.test("a value is written as text that reads back the same", () => {
  const values: [Field["type"], Json][] = [["number", -1e21], ["boolean", true], ["list", ["a", "b c"]], [
    "text",
    "x\ny",
  ]];
  for (const [type, value] of values) assert.deepEqual(read(type, textOfValue(value)), value);
  assert.equal(textOfValue(null), "");
});
