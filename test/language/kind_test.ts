import assert from "node:assert/strict";
import { z } from "zod";
import type { Json } from "../../runtime/model/json.ts";
import { parseArgs } from "../../runtime/language/checker/check.ts";
import { resolveArgs } from "../../runtime/language/expressions/template.ts";
import { duration, expression, json, number, type Template, template } from "../../runtime/language/fields/field.ts";
import { type Args, defineKind, type ReadArgs, resolvedArgs } from "../../runtime/language/kind.ts";

const schemas = {
  kind: "remind",
  main: template(),
  options: {
    after: duration(),
    times: number({ min: 1 }).default(3),
    on: z.enum(["any", "all"]).optional(),
    if: expression().optional(),
    data: z.record(z.string(), json()).optional(),
    pages: z.strictObject({ sizes: z.array(number()) }).optional(),
  },
} as const;

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
type Flat<T> = { [Key in keyof T]: T[Key] };

const asRead: Same<
  Flat<ReadArgs<typeof schemas>>,
  Flat<{
    remind: string;
    after: number | Template;
    times: number | Template;
    on?: "any" | "all" | undefined;
    if?: string | undefined;
    data?: Record<string, Json> | undefined;
    pages?: { sizes: (number | Template)[] } | undefined;
  }>
> = true;
const resolved: Same<Args<typeof schemas>["after"] | Args<typeof schemas>["times"], number> = true;
const inside: Same<NonNullable<Args<typeof schemas>["pages"]>["sizes"], number[]> = true;
const data: Same<NonNullable<Args<typeof schemas>["data"]>[string], Json> = true;

const remind = defineKind({
  ...schemas,
  summary: "Reminds somebody",
  check: ({ after }) => typeof after === "number" && after < 1_000 ? ["after: at least 1s"] : [],
});

Deno.test("arguments have the types of their schemas: a template is text until it is resolved, then a value", () => {
  assert.ok(asRead && resolved && inside && data);
  const parsed = parseArgs(remind, {
    remind: "hello",
    after: "${{ event.data.after }}",
    pages: { sizes: ["${{ 2 }}"] },
  });
  assert.ok("args" in parsed, JSON.stringify(parsed));
  assert.equal(parsed.args.after, "${{ event.data.after }}");
  assert.deepEqual(remind.check!(parsed.args, 0), []);
  const args = resolvedArgs(schemas, resolveArgs(remind, parsed.args, { event: { data: { after: "2s" } } }));
  const { after, times, on, pages = { sizes: [] } } = args;
  assert.deepEqual([after + 1, times + 1, on, pages.sizes[0] + 1], [2_001, 4, undefined, 3]);
});
