import { writeFileSync } from "node:fs";
import { z } from "zod";
import { actions } from "../../runtime/actions/index.ts";
import { CALL_OPTIONS, kindOfCall } from "../../runtime/engine/code/function_step.ts";
import { type FieldInfo, fieldInfo, format, requestAuth } from "../../runtime/language/arg_types.ts";
import { TRIGGER_OPTIONS } from "../../runtime/language/checker/check_triggers.ts";
import type { Kind } from "../../runtime/language/kind.ts";
import { formatDuration } from "../../runtime/model/duration.ts";
import { triggerKinds } from "../../runtime/triggers/index.ts";
import { authSchema } from "../../runtime/triggers/webhook_request.ts";

/**
 * Makes the part of the SDK that follows from the tables of triggers and actions: the types of their options, the
 * functions of triggers, and the list of actions. A test compares the files with the tables.
 */
export function sdkTypes(): Record<string, string> {
  return { "options.ts": optionsFile(), "triggers.ts": triggersFile() };
}

/** Triggers whose functions are written in `sdk/triggers.ts`: their events have types that the caller names. */
const WRITTEN = ["webhook", "poll", "watch", "event", "manual"];
/** The data of events, if they have a type. */
const DATA: Record<string, string> = { cron: "Scheduled", every: "Scheduled", at: "Scheduled", start: "null" };

const HEADER = "// Made by `deno task sdk` from the tables of triggers and actions: edit those.\n";
/** The width that the formatter breaks lines at. */
const WIDTH = 120;

/** The TypeScript types of fields, as a caller writes their values. */
const FIELD_TYPES: Record<FieldInfo["is"], string> = {
  expression: "string",
  template: "string",
  url: "string",
  json: "unknown",
  duration: "Duration",
  rate: "Rate",
  size: "string | number",
  path: "string",
  command: "string | readonly string[]",
  target: "string",
  secret: "string | readonly string[]",
  charset: "string",
  number: "number",
  boolean: "boolean",
  source: "Record<string, unknown>",
  request: 'Omit<HttpOptions, keyof StepOptions | "save"> & { http: string; value?: string }',
  people: "string | readonly string[]",
  connection: "string",
  branches: "Record<string, unknown>",
  fields: "Record<string, unknown>",
};

/** Types that have a name, by their text. */
const aliases = new Map<string, string>();
/** The options of formats, by the names of their interfaces. */
const formatOptions = new Map(optionsOfFormats().map(([name, schema]) => [`${capitalised(name)}Options`, schema]));
for (const [name, schema] of formatOptions) aliases.set(plainTypeOf(schema), name);
aliases.set(plainTypeOf(format()), "Format");
aliases.set(plainTypeOf(requestAuth()), "RequestAuth");
aliases.set(plainTypeOf(authSchema), "WebhookAuth");

function optionsFile(): string {
  const calls = Object.keys(actions).map((kind) => [kind, kindOfCall(kind) ?? actions[kind]] as const);
  return [
    HEADER +
    'import type { Duration } from "../durations.ts";\nimport type { TriggerOptions } from "../trigger_definition.ts";\n',
    "/** The kinds of actions. */",
    `export const ACTIONS = [${calls.map(([kind]) => JSON.stringify(kind)).join(", ")}] as const;\n`,
    "/** The options of every trigger. */",
    `export const TRIGGER_OPTIONS: readonly string[] = [${TRIGGER_OPTIONS.map((name) => `"${name}"`).join(", ")}];\n`,
    "/** The options of a poll, besides those of every trigger. */",
    `export const POLL_OPTIONS: readonly string[] = [`,
    ...Object.keys(triggerKinds.poll.options).map((name) => `  ${JSON.stringify(name)},`),
    "];\n",
    ...[...aliases].filter(([, name]) => !formatOptions.has(name)).map(([type, name]) => typeAlias(name, type)),
    ...[...formatOptions].map(([name, { shape }]) => interfaceOf(name, "", "Options of a format.", shape)),
    interfaceOf("StepOptions", "", "Options of every step.", CALL_OPTIONS.shape),
    ...Object.values(triggerKinds).filter(hasOptions).map((kind) =>
      interfaceOf(optionsName(kind), "TriggerOptions", `${kind.summary}.`, kind.options)
    ),
    ...calls.map(([, kind]) => interfaceOf(optionsName(kind), "StepOptions", `${kind.summary}.`, kind.options)),
    "/** A function for every action. */\nexport interface ActionCalls {",
    ...calls.map(([kind, action]) => callOf(kind, action)),
    "}\n",
  ].join("\n");
}

function triggersFile(): string {
  const kinds = Object.values(triggerKinds).filter(({ kind }) => !WRITTEN.includes(kind));
  const options = kinds.filter(hasOptions).map(optionsName).sort();
  return [
    HEADER + (kinds.every(({ kind }) => kind in DATA) ? "" : 'import type { Json } from "../../model/json.ts";\n') +
    'import type { Duration } from "../durations.ts";\nimport type { TypedEvent } from "../event_data.ts";',
    "import {",
    "  type BatchEvent,",
    "  type Batching,",
    "  type Scheduled,",
    "  TriggerDefinition,",
    "  type TriggerOptions,",
    '} from "../trigger_definition.ts";',
    `import type { ${options.join(", ")} } from "./options.ts";\n`,
    ...kinds.map(functionOf),
  ].join("\n");
}

function functionOf(kind: Kind): string {
  const name = kind.kind;
  const options = hasOptions(kind) ? optionsName(kind) : "TriggerOptions";
  const isAlone = kind.main.safeParse(null).success;
  const main = isAlone ? "" : `${name}: ${typeOf(kind.main)}, `;
  const event = `${capitalised(name)}Event`;
  return [
    `type ${event} = TypedEvent<"${name}", ${DATA[name] ?? "Json"}>;\n`,
    `/** ${kind.summary}. */`,
    `export function ${name}(${main}options: ${options} & Batching): TriggerDefinition<BatchEvent<${event}>>;`,
    `export function ${name}(${main}options?: ${options}): TriggerDefinition<${event}>;`,
    `export function ${name}(${main}options: ${options} = {}): TriggerDefinition<never> {`,
    `  return new TriggerDefinition({ ${isAlone ? `${name}: true` : name}, ...options });`,
    "}\n",
  ].join("\n");
}

function callOf(kind: string, action: Kind): string {
  const isRequired = Object.values(action.options).some((schema) => !isOptional(schema));
  const main = typeOf(actions[kind].main);
  return `  ${kind}(name: string, ${kind}: ${main}, options${isRequired ? "" : "?"}: ${
    optionsName(action)
  }): Promise<unknown>;`;
}

function interfaceOf(name: string, base: string, summary: string, options: z.ZodRawShape): string {
  const own = Object.entries(options).filter(([, schema]) => typeOf(schema) !== "never");
  const head = `/** ${summary} */\nexport interface ${name}${base && ` extends ${base}`} {`;
  if (own.length === 0) return `${head}}\n`;
  return [head, ...own.map(([key, schema]) => propertyOf(key, schema)), "}\n"].join("\n");
}

function propertyOf(name: string, schema: z.core.$ZodType): string {
  const says = [descriptionOf(schema), defaultOf(schema)].filter((text) => text !== undefined).join(" ");
  const line = `  ${name}${isOptional(schema) ? "?" : ""}: ${typeOf(schema)};`;
  return says === "" ? line : `  /** ${says} */\n${line}`;
}

function descriptionOf(schema: z.core.$ZodType): string | undefined {
  const text = z.globalRegistry.get(schema)?.description;
  if (text === undefined) return undefined;
  return /^[a-z]+:/.test(text) ? `${text}.` : `${capitalised(text)}.`;
}

function defaultOf(schema: z.core.$ZodType): string | undefined {
  if (!(schema instanceof z.ZodDefault)) return undefined;
  const { innerType, defaultValue } = schema.def;
  const isDuration = fieldInfo.get(innerType as z.ZodType)?.is === "duration";
  const value = JSON.stringify(isDuration ? formatDuration(Number(defaultValue)) : defaultValue);
  return `@default ${value.replaceAll(",", ", ")}`;
}

function typeAlias(name: string, type: string): string {
  const line = `export type ${name} = ${type};`;
  return line.length <= WIDTH
    ? `${line}\n`
    : `export type ${name} =\n  | ${type.split(/ \| (?![^{]*\})/).join("\n  | ")};\n`;
}

/** The type of the values that a schema takes. */
function typeOf(schema: z.core.$ZodType): string {
  const type = plainTypeOf(schema);
  return aliases.get(type) ?? type;
}

function plainTypeOf(schema: z.core.$ZodType): string {
  const info = fieldInfo.get(schema as z.ZodType);
  if (info !== undefined) return FIELD_TYPES[info.is];
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return typeOf(schema.def.innerType);
  if (schema instanceof z.ZodEnum) return schema.options.map((value) => JSON.stringify(value)).join(" | ");
  if (schema instanceof z.ZodLiteral) return [...schema.values].map((value) => JSON.stringify(value)).join(" | ");
  if (schema instanceof z.ZodUnion) return [...new Set(schema.options.map(typeOf))].join(" | ");
  if (schema instanceof z.ZodObject) return objectType(schema.shape);
  if (schema instanceof z.ZodArray) return `readonly ${grouped(typeOf(schema.element))}[]`;
  if (schema instanceof z.ZodRecord) return `Record<string, ${typeOf(schema.valueType)}>`;
  if (schema instanceof z.ZodPipe) return typeOf(schema.in);
  if (schema instanceof z.ZodString) return "string";
  if (schema instanceof z.ZodNumber) return "number";
  if (schema instanceof z.ZodBoolean) return "boolean";
  if (schema instanceof z.ZodNever) return "never";
  throw new Error(`Cannot write the TypeScript type of a ${schema._zod.def.type}: add it to sdk_types.ts`);
}

function objectType(shape: z.ZodRawShape): string {
  const members = Object.entries(shape).map(([name, schema]) =>
    `${name}${isOptional(schema) ? "?" : ""}: ${typeOf(schema)}`
  );
  return `{ ${members.join("; ")} }`;
}

function grouped(type: string): string {
  return type.includes(" | ") ? `(${type})` : type;
}

function hasOptions(kind: Kind): boolean {
  return Object.keys(kind.options).length > 0;
}

function isOptional(schema: z.core.$ZodType): boolean {
  return z.safeParse(schema, undefined).success;
}

function optionsName({ kind }: Kind): string {
  return `${capitalised(kind)}Options`;
}

function capitalised(name: string): string {
  return `${name[0].toUpperCase()}${name.slice(1)}`;
}

/** `{ csv: { … } }` is a format with options. */
function optionsOfFormats(): [string, z.ZodObject][] {
  const union = format();
  if (!(union instanceof z.ZodUnion)) return [];
  return union.options.flatMap((option) =>
    option instanceof z.ZodObject
      ? Object.entries(option.shape).filter((entry): entry is [string, z.ZodObject] => entry[1] instanceof z.ZodObject)
      : []
  );
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(sdkTypes())) {
    writeFileSync(new URL(`../../runtime/sdk/generated/${name}`, import.meta.url), text);
  }
}
