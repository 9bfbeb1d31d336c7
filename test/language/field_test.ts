import assert from "node:assert/strict";
import { z } from "zod";
import * as field from "../../runtime/language/fields/field.ts";

const reads = (schema: z.ZodType, value: unknown) => schema.parse(value);
const refuses = (schema: z.ZodType, ...values: unknown[]) => {
  for (const value of values) assert.equal(schema.safeParse(value).success, false, JSON.stringify(value));
};

Deno.test("a duration becomes milliseconds; a number without a unit is refused; a template is read later", () => {
  assert.equal(reads(field.duration(), "5m"), 300_000);
  assert.equal(reads(field.duration(), "PT1H"), 3_600_000);
  assert.equal(reads(field.duration(), "${{ config.x }}"), "${{ config.x }}");
  refuses(field.duration(), 30, "30", "5 m", null, undefined);
});

Deno.test("a rate becomes count and milliseconds", () => {
  assert.deepEqual(reads(field.rate(), "100/m"), { count: 100, per: 60_000 });
  refuses(field.rate(), 100, "0/m", "100/y");
});

Deno.test("a size becomes bytes", () => {
  assert.deepEqual(["1MB", "1.5KiB", "12B", 7].map((size) => reads(field.size(), size)), [1_000_000, 1_536, 12, 7]);
  refuses(field.size(), "1XB", -1, 1.5, "MB");
});

Deno.test("an expression may be a plain boolean or number, as YAML reads it", () => {
  assert.deepEqual([true, 1, "x > 1"].map((value) => reads(field.expression(), value)), ["true", "1", "x > 1"]);
  refuses(field.expression(), "", " ", null, {});
});

Deno.test("a URL is http or https, a method may precede it", () => {
  assert.equal(reads(field.url(), "POST https://h/x"), "POST https://h/x");
  assert.equal(reads(field.url(), "${{ config.base }}/x"), "${{ config.base }}/x");
  refuses(field.url(), "ftp://h/", "h/x", "post https://h/", "https://", 5);
});

Deno.test("a command is a string or a list of scalars", () => {
  assert.deepEqual(reads(field.command(), ["sleep", 1]), ["sleep", "1"]);
  refuses(field.command(), [], "", [["a"]], {});
});

Deno.test("a target is a function of a module or a package, or a YAML action", () => {
  for (const target of ["./x.ts#read", "../lib/tell.yaml", "./a.mjs#$f", "x#f", "@a/b/c#d", "./packages/x#f"]) {
    assert.equal(reads(field.target(), target), target);
  }
  refuses(field.target(), "./x.ts", "./x.yaml#f", "x#", "x y#f", "./${{ a }}.yaml");
});

Deno.test("secrets are names, never values", () => {
  assert.deepEqual(reads(field.secret(), "KEY"), ["KEY"]);
  assert.deepEqual(reads(field.secret(), ["OLD", "NEW"]), ["OLD", "NEW"]);
  refuses(field.secret(), "whsec_a+b/c=", "${{ secrets.X }}", []);
});

Deno.test("numbers and booleans are validated, templates are read later", () => {
  assert.equal(reads(field.number({ min: 1, max: 5, integer: true }), 5), 5);
  refuses(field.number({ min: 1, max: 5, integer: true }), 0, 6, 1.5, "3", Infinity);
  assert.equal(reads(field.boolean(), "${{ x }}"), "${{ x }}");
  refuses(field.boolean(), "yes", 1);
});

Deno.test("metadata of a field survives optional, describe, default and refine", () => {
  const described = field.url().describe("where to").refine(() => true);
  assert.equal(field.fieldInfo.get(described)?.is, "url");
  assert.equal(z.strictObject({ a: field.duration().optional(), b: field.duration().default(5) }).parse({}).b, 5);
});
