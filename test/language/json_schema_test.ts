import assert from "node:assert/strict";
import { ruleJsonSchema } from "../../runtime/language/checker/json_schema.ts";
import { kinds } from "./check_support.ts";

interface Entry {
  description?: string;
  required?: string[];
  properties?: Record<string, { description?: string; anyOf?: unknown[]; enum?: string[] }>;
  additionalProperties?: boolean | object;
  enum?: string[];
}
const schema = ruleJsonSchema(kinds) as unknown as { anyOf: Entry[]; definitions: Record<string, { anyOf: Entry[] }> };

Deno.test("every kind is an entry that requires its key and knows all its options", () => {
  for (const [table, name] of [[kinds.triggers, "trigger"], [kinds.steps, "step"]] as const) {
    for (const kind of Object.values(table)) {
      const entry = schema.definitions[name].anyOf.find(({ required }) => required?.[0] === kind.kind);
      assert.ok(entry, kind.kind);
      assert.equal(entry.additionalProperties, false);
      assert.ok(entry.description);
      for (const key of [kind.kind, ...Object.keys(kind.options), ...kind.children ?? []]) {
        assert.ok(entry.properties![key], `${kind.kind}.${key}`);
      }
    }
  }
});

Deno.test("mandatory options are required", () => {
  const webhook = schema.definitions.trigger.anyOf.find(({ properties }) => properties?.webhook);
  assert.deepEqual(webhook?.required, ["webhook", "auth"]);
});

Deno.test("triggers without arguments may be one word", () => {
  assert.ok(
    schema.definitions.trigger.anyOf.some((entry) => entry.enum?.includes("start") && entry.enum.includes("manual")),
  );
});

Deno.test("every trigger takes a batch, which closes in one way", () => {
  for (const { properties } of schema.definitions.trigger.anyOf) {
    assert.ok(properties === undefined || properties.batch);
  }
  const { oneOf, properties } = schema.definitions.batch as unknown as Record<string, object>;
  assert.deepEqual(oneOf, [{ required: ["every"] }, { required: ["quiet"] }, { required: ["cron"] }]);
  assert.deepEqual(Object.keys(properties), ["every", "quiet", "within", "cron", "timezone", "empty", "max"]);
});

Deno.test("a rule has when and then, an action then; all references resolve", () => {
  assert.deepEqual(schema.anyOf.map(({ required }) => required), [["when", "then"], ["then"]]);
  const names = [...JSON.stringify(schema).matchAll(/"\$ref":"#\/definitions\/(\w+)"/g)].map(([, name]) => name);
  assert.ok(names.length > 0);
  for (const name of names) assert.ok(schema.definitions[name], name);
});

Deno.test("control steps are not sources of a poll", () => {
  const keys = schema.definitions.source.anyOf.map(({ required }) => required![0]);
  assert.ok(keys.includes("http") && !keys.includes("wait") && !keys.includes("stop"));
});

Deno.test("branches have any names, each with a list of steps", () => {
  const entry = schema.definitions.step.anyOf.find(({ required }) => required?.[0] === "parallel");
  const { additionalProperties } = entry!.properties!.parallel as Entry;
  assert.deepEqual(additionalProperties, { $ref: "#/definitions/steps" });
});
