import { z } from "zod";
import { asJson, isObject, type JsonObject } from "../../model/json.ts";
import { batchSchema } from "./batch.ts";
import { ACTION_KEYS, MODES, RULE_KEYS } from "./check_rule.ts";
import { STEP_OPTIONS } from "./check_steps.ts";
import { TRIGGER_OPTIONS } from "./check_triggers.ts";
import { duration, fieldInfo, people, retrySchema } from "../arg_types.ts";
import { fieldSchema, oneOfSchema } from "../fields/read_fields.ts";
import type { Kind, Kinds } from "../kind.ts";
import { testKinds, testSchema } from "./test_kinds.ts";

const TEMPLATE = { type: "string", pattern: "\\$\\{\\{" };
const STEPS = { $ref: "#/definitions/steps" };
const EXPRESSION = { type: ["string", "boolean"], description: "A CEL expression" };

/** The schemas of a command file, which a layer below knows. */
export interface CommandSchemas {
  keys: Record<string, z.ZodType>;
  input: z.ZodType;
  test: z.ZodType;
}

/** The kinds that describe a fleet file and one of its tasks, which a layer below knows. */
export interface FleetSchemas {
  file: Kind;
  task: Kind;
}

/** The JSON Schema (draft 7, which the YAML language server knows best) of rule files and YAML actions, for editors. */
export function ruleJsonSchema(kinds: Kinds, command?: CommandSchemas, fleet?: FleetSchemas): JsonObject {
  const steps = Object.values(kinds.steps);
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "whenthen rule",
    anyOf: [
      objectOf("A rule: when something happens, if a condition holds, then do these steps", ruleProperties(), [
        "when",
        "then",
      ]),
      {
        ...objectOf("An action: steps that rules call", actionProperties(), ["then"]),
      },
      ...command ? [commandSchema(command)] : [],
      ...fleet ? [fleetFileSchema(fleet)] : [],
    ],
    definitions: {
      trigger: { anyOf: [...Object.values(kinds.triggers).map(triggerSchema), shortTriggers(kinds)] },
      step: { anyOf: steps.map((kind) => entrySchema(kind, stepOptions(kind))) },
      batch: { ...toSchema(batchSchema), oneOf: ["every", "quiet", "cron"].map((key) => ({ required: [key] })) },
      steps: {
        anyOf: [{ type: "array", items: { $ref: "#/definitions/step" }, minItems: 1 }, { $ref: "#/definitions/step" }],
      },
      test: testEntrySchema(),
      source: { anyOf: steps.filter(({ controls }) => !controls).map((kind) => entrySchema(kind, {})) },
      fields: {
        type: "object",
        properties: {
          oneOf: { ...toSchema(oneOfSchema), description: "Groups of which exactly one field is set: [[a, b]]" },
        },
        additionalProperties: { anyOf: [toSchema(fieldSchema), { type: ["string", "number", "boolean", "array"] }] },
      },
    },
  };
  return asJson(schema);
}

type Schema = Record<string, unknown>;
type ObjectSchema = Schema & { properties: Record<string, Schema> };

function ruleProperties(): Record<string, Schema> {
  const properties: Record<string, Schema> = {
    id: { type: "string", description: "Its id; by default its path in the folder without extension" },
    name: { type: "string", description: "A readable name" },
    when: {
      description: "What it reacts to: one trigger or a list",
      anyOf: [{ $ref: "#/definitions/trigger" }, {
        type: "array",
        items: { $ref: "#/definitions/trigger" },
        minItems: 1,
      }],
    },
    if: conditions("A CEL expression, or a list that must all hold"),
    then: { ...STEPS, description: "What it does" },
    config: {
      $ref: "#/definitions/fields",
      description: "What an operator may set: threshold: 85, or { type: number, default: 85 }",
    },
    editors: {
      ...toSchema(people()),
      description:
        "Who may set its config at /config/<rule>: people, groups and e-mail addresses; without it only operators",
    },
    inputs: { $ref: "#/definitions/fields", description: "What it is started with: values by name, as inputs.x" },
    key: { type: ["string", "number", "boolean"], description: "A CEL expression; mode counts runs with equal keys" },
    mode: {
      enum: [...MODES],
      description: "What happens to an event while a run with its key has not ended; by default parallel",
    },
    max: { type: "integer", minimum: 1, description: "Runs at once in mode parallel; by default 10" },
    timeout: { ...toSchema(duration()), description: "How long a run may take, waits excluded; by default 1h" },
    limit: { type: "string", description: "Runs above it are delayed: 1000/m by default, or none" },
    onError: { ...STEPS, description: "Steps that run if the run fails; error.step and error.message say why" },
    enabled: { type: "boolean", description: "false: its triggers are off" },
    tests: { type: "array", items: { $ref: "#/definitions/test" }, description: "Its tests: whenthen test runs them" },
  };
  return pick(properties, RULE_KEYS);
}

function actionProperties(): Record<string, Schema> {
  const properties: Record<string, Schema> = {
    name: { type: "string", description: "A readable name" },
    inputs: { $ref: "#/definitions/fields", description: "The values that its callers pass under with:" },
    then: { ...STEPS, description: "What it does" },
    output: { type: ["string", "number", "boolean"], description: "A CEL expression: the result of calling it" },
  };
  return pick(properties, ACTION_KEYS);
}

function commandSchema({ keys, input, test }: CommandSchemas): Schema {
  const own = Object.fromEntries(Object.entries(keys).map(([key, schema]) => [key, toSchema(schema)]));
  const properties = {
    ...own,
    inputs: {
      type: "object",
      description: "What it takes: flags such as --retry, <file>, or words without a dash",
      properties: { oneOf: toSchema(oneOfSchema) },
      additionalProperties: { anyOf: [toSchema(input), { type: ["string", "number", "boolean", "array"] }] },
    },
    with: { type: "object", description: "What is always set: a caller cannot set it" },
    tests: { type: "array", items: toSchema(test), description: "Its tests: whenthen test runs them" },
  };
  return {
    ...objectOf("A command: a program with its inputs, which rules call", properties, ["command"]),
    patternProperties: { "^x-": {} },
  };
}

function fleetFileSchema({ file, task }: FleetSchemas): Schema {
  const inputs = { $ref: "#/definitions/fields", description: "What it has to be told" };
  const { properties, ...rest } = entrySchema(task, {});
  const tasks = {
    type: "object",
    description: "Tasks beside those of the module, by name",
    additionalProperties: { ...rest, properties: { ...properties, inputs } },
  };
  return { ...entrySchema(file, { tasks }), patternProperties: { "^x-": {} } };
}

/** Keeps only the keys that the checker knows, so that editors offer no others. */
function pick(properties: Record<string, Schema>, keys: string[]): Record<string, Schema> {
  return Object.fromEntries(keys.map((key) => [key, properties[key]]));
}

function triggerSchema(kind: Kind): Schema {
  const properties: Record<string, Schema> = {
    name: { type: "string", description: "Its id; by default its kind and address" },
    if: conditions("A CEL expression, or a list that must all hold, for events of this trigger"),
    batch: {
      $ref: "#/definitions/batch",
      description: "Collects its events, and one run gets them as event.data.events",
    },
    inputs: { type: "object", description: "What it gives for the rule's inputs, with expressions on its event" },
  };
  const { properties: all, ...rest } = entrySchema(kind, pick(properties, TRIGGER_OPTIONS));
  const own = [kind.kind, ...Object.keys(kind.options)];
  const withTemplates = Object.entries(all).map((
    [key, schema],
  ) => [key, own.includes(key) ? orTemplate(schema) : schema]);
  return { ...rest, properties: Object.fromEntries(withTemplates) };
}

function testEntrySchema(): Schema {
  const { properties, ...rest } = toSchema(testSchema);
  const entries = Object.values(testKinds).map((kind) => entrySchema(kind, {}));
  const happens = { type: "array", items: { anyOf: entries }, minItems: 1, description: "What happens, in order" };
  return { ...rest, properties: { ...isObject(properties) && properties, do: happens }, required: ["name", "do"] };
}

/** Allows a template, as any argument of a trigger may use config. */
function orTemplate(schema: Schema): Schema {
  const isText = schema.type === "string" || (Array.isArray(schema.type) && schema.type.includes("string"));
  if ((isText && schema.enum === undefined) || schema.$ref !== undefined) return schema;
  const { description, default: standard, ...rest } = schema;
  if (Object.keys(rest).length === 0) return schema;
  return {
    anyOf: [rest, TEMPLATE],
    ...(description !== undefined && { description }),
    ...(standard !== undefined && { default: standard }),
  };
}

function shortTriggers({ triggers }: Kinds): Schema {
  const short = Object.values(triggers).filter(({ main }) => main.safeParse(null).success);
  return { enum: short.map(({ kind }) => kind), description: "A trigger without arguments" };
}

function stepOptions(kind: Kind): Record<string, Schema> {
  const properties: Record<string, Schema> = {
    id: { type: "string", pattern: "^[a-z][A-Za-z0-9_]*$", description: "Its result is steps.<id>" },
    if: { ...EXPRESSION, description: "A CEL expression; if it is false the step is skipped" },
    timeout: { ...toSchema(duration()), description: "How long one attempt may take" },
    retry: { ...toSchema(retrySchema), description: "Attempts in all, or { attempts, delay, max }" },
    onError: {
      anyOf: [...kind.nested?.stops ? [{ const: "stop" }] : [], { const: "continue" }, STEPS],
      description: "continue, or steps whose last result replaces that of the failed step",
    },
    onTimeout: { ...STEPS, description: "Steps that run if the step times out" },
  };
  const children = (kind.children ?? []).map((key) => [key, STEPS] as const);
  return { ...pick(properties, STEP_OPTIONS), ...Object.fromEntries(children) };
}

/** The schema of an entry of a kind; the key of the kind is required. */
function entrySchema(kind: Kind, common: Record<string, Schema>): ObjectSchema {
  const own = Object.entries(kind.options).map(([key, schema]) => [key, toSchema(schema)] as const);
  const main = toSchema(kind.main);
  const required = Object.entries(kind.options).filter(([, schema]) => !schema.safeParse(undefined).success);
  const properties = {
    [kind.kind]: { ...main, description: main.description ?? kind.summary },
    ...common,
    ...Object.fromEntries(own),
  };
  return objectOf(kind.summary, properties, [kind.kind, ...required.map(([key]) => key)]);
}

function conditions(description: string): Schema {
  return { anyOf: [EXPRESSION, { type: "array", items: EXPRESSION }], description };
}

function objectOf(description: string, properties: Record<string, Schema>, required: string[]): ObjectSchema {
  return { type: "object", description, properties, required, additionalProperties: false };
}

function toSchema(schema: z.core.$ZodType): Schema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    target: "draft-7",
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const info = fieldInfo.get(zodSchema);
      if (info !== undefined) Object.assign(jsonSchema, info.schema);
    },
  });
  return rest;
}
