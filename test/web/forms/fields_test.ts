import assert from "node:assert/strict";
import type { Field } from "../../../runtime/model/rule.ts";
import { fieldMarkup, labelOf } from "../../../runtime/web/forms/fields.ts";

const shown = (field: Partial<Field>, text = "", problem?: string) =>
  String(fieldMarkup({ name: "orderId", field: { type: "text", required: true, ...field }, text, problem }));

Deno.test("each type of field has the matching HTML input", () => {
  const inputs: [Partial<Field>, RegExp][] = [
    [
      { type: "text", min: 2, max: 9 },
      /<input id="field-orderId" name="orderId" required value="" type="text" minlength="2" maxlength="9">/,
    ],
    [{ type: "text", lines: 4 }, /<textarea id="field-orderId" name="orderId" required rows="4">\n<\/textarea>/],
    [{ type: "number", min: 0, max: 5 }, /type="number" step="any" inputmode="decimal" min="0" max="5"/],
    [{ type: "date" }, /type="date"/],
    [{ type: "email" }, /type="email" autocomplete="email"/],
    [{ type: "url" }, /type="url"/],
    [{ type: "duration" }, /aria-describedby="field-orderId-help"[^>]* type="text"/],
    [{ type: "integer" }, /type="number" step="1" inputmode="numeric"/],
    [{ type: "port" }, /type="number" step="1" inputmode="numeric" min="1" max="65535"/],
    [{ type: "ip" }, /Such as 192\.0\.2\.1[^]* type="text"/],
    [{ type: "path" }, /A relative path[^]* type="text"/],
    [{ type: "path", under: "/srv" }, /A path below \/srv<[^]* type="text"/],
    [{ type: "secret", choices: ["KEY"] }, /The name of a secret[^]*type="radio"[^>]* value="KEY"/],
    [{ type: "list" }, /One on each line<[^]*<textarea [^>]*rows="4"/],
    [{ type: "list", of: { type: "ip" } }, /One on each line: an IP address<[^]*<textarea/],
    [{ type: "list", of: { type: "choice", choices: ["a", 2] } }, /One on each line: one of a, 2<[^]*<textarea/],
  ];
  for (const [field, pattern] of inputs) assert.match(shown(field), pattern);
});

Deno.test("few choices are radio buttons, many are a select; values may be numbers", () => {
  const few = shown({ type: "choice", choices: [1, "two"] }, "1");
  assert.match(few, /<fieldset role="radiogroup" class="field">\n<legend>Order id<\/legend>/);
  assert.match(few, /<input type="radio" id="field-orderId" name="orderId" value="1" checked required><span>1<\/span>/);
  assert.match(few, /<input type="radio" id="field-orderId-1" name="orderId" value="two" required>/);
  const many = shown({ type: "choice", choices: Array.from({ length: 20 }, (_, index) => index) }, "7");
  assert.match(many, /<select id="field-orderId" name="orderId" required>\n<option value="">Choose one<\/option>/);
  assert.match(many, /<option value="7" selected>7<\/option>/);
});

Deno.test("yes and no are explicit choices: nothing chosen is no answer", () => {
  const required = shown({ type: "boolean" });
  assert.doesNotMatch(required, /checked|No answer/);
  assert.match(shown({ type: "boolean", required: false }), /value="" checked><span>No answer<\/span>/);
  assert.match(shown({ type: "boolean" }, "false"), /value="false" checked/);
});

Deno.test("help and problem are linked to the input, and optional fields say so", () => {
  const field = shown({ title: "Order <no.>", help: "As on\nthe bill", required: false }, '"1"', "Expected text");
  assert.match(field, /<label for="field-orderId">Order &lt;no\.&gt; <span class="soft">\(optional\)<\/span><\/label>/);
  assert.match(field, /<p class="help" id="field-orderId-help">As on\nthe bill<\/p>/);
  assert.match(field, /<p class="error" id="field-orderId-error">Expected text<\/p>/);
  assert.match(
    field,
    /aria-describedby="field-orderId-help field-orderId-error" aria-invalid="true" value="&quot;1&quot;"/,
  );
  assert.doesNotMatch(field, / required/);
});

Deno.test("a field without a title is labelled with its name, in words", () => {
  const label = (name: string) => labelOf(name, { type: "text", required: true });
  assert.deepEqual(["reason", "orderId", "unit_price"].map(label), ["Reason", "Order id", "Unit price"]);
});
