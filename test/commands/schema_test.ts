import assert from "node:assert/strict";
import { commandTestSchema } from "../../runtime/commands/command_tests.ts";
import { inputSchema } from "../../runtime/commands/inputs.ts";
import { COMMAND_KEYS, COMMAND_SCHEMAS } from "../../runtime/commands/read_command.ts";
import { ruleJsonSchema } from "../../runtime/language/checker/json_schema.ts";

// deno-lint-ignore no-explicit-any
type Schema = any;

Deno.test("the JSON Schema has command files with all their keys, and inputs with all their options", () => {
  const command = { keys: COMMAND_SCHEMAS, input: inputSchema, test: commandTestSchema };
  const schema: Schema = ruleJsonSchema({ triggers: {}, steps: {} }, command);
  const { properties, required, additionalProperties, patternProperties } = schema.anyOf.at(-1);
  assert.deepEqual(Object.keys(properties).sort(), [...COMMAND_KEYS].sort());
  assert.deepEqual([required, additionalProperties, patternProperties], [["command"], false, { "^x-": {} }]);
  const [input] = properties.inputs.additionalProperties.anyOf;
  assert.deepEqual(Object.keys(input.properties).sort(), Object.keys(inputSchema.shape).sort());
  assert.deepEqual(Object.keys(properties.tests.items.properties).sort(), ["argv", "name", "problems", "with"]);
});
