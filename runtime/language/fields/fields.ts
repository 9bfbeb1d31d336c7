import { z } from "zod";
import type { Json } from "../../model/json.ts";
import type { Field } from "../../model/rule.ts";
import { fieldInfo } from "./field.ts";
import { checkValue } from "./field_value.ts";
import { isObject } from "./map_fields.ts";
import { parseWith, type SchemaProblem } from "../checker/sentences.ts";

const FIELD_TYPES = ["text", "number", "boolean", "choice", "duration", "date", "email", "url", "list"] as const;

const scalar = z.union([z.string(), z.number(), z.boolean()]);

/** The long form of a field. */
export const fieldSchema = z.strictObject({
  type: z.enum(FIELD_TYPES).describe("What kind of value it takes"),
  title: z.string().optional().describe("A readable name"),
  help: z.string().optional().describe("A sentence that explains it"),
  default: z.unknown().optional().describe("The value if none is set"),
  required: z.boolean().default(true).describe("Whether a value must be set; by default yes"),
  choices: z.array(scalar).min(1).optional().describe("For a choice: the values to choose from"),
  min: z.number().optional().describe("Least number, or least length of a text or list"),
  max: z.number().optional().describe("Greatest number, or greatest length of a text or list"),
  lines: z.number().int().min(1).optional().describe("For text in a form: how many lines to show"),
});

/**
 * Parses the fields of `config`, of a form, or of an action's `inputs`. `threshold: 85` is short for
 * `{ type: number, default: 85 }`.
 */
export function readFields(raw: unknown): { fields: Record<string, Field>; problems: SchemaProblem[] } {
  const fields: Record<string, Field> = {};
  const problems: SchemaProblem[] = [];
  if (!isObject(raw)) {
    const hint = "write each field on a line of its own: threshold: 85";
    return { fields, problems: [{ path: [], part: "value", message: "expected fields with their names", hint }] };
  }
  for (const [name, entry] of Object.entries(raw)) {
    const found = readField(name, entry);
    problems.push(...found.problems.map((problem) => ({ ...problem, path: [name, ...problem.path] })));
    if (found.field !== undefined) fields[name] = found.field;
  }
  return { fields, problems };
}

/** The fields of a form, by name; they cannot contain templates. */
export function fields(): z.ZodType<Record<string, Field>> {
  const schema = z.unknown().transform((value, context): Record<string, Field> => {
    const { fields, problems } = readFields(value);
    problems.push(...chosenFrom(value));
    for (const { path, part, message, hint } of problems) {
      const text = hint === undefined ? message : `${message}\n${hint}`;
      context.addIssue({ code: "custom", path, message: text, params: { part }, input: value });
    }
    return problems.length > 0 ? z.NEVER : fields;
  });
  const expected = "fields with their names, such as { decision: { type: choice, choices: [yes, no] } }";
  fieldInfo.add(schema, { is: "fields", expected, schema: { $ref: "#/definitions/fields" } });
  return schema;
}

/** A list as the field of a form is meant as the choices, not as a list with a default. */
function chosenFrom(raw: unknown): SchemaProblem[] {
  const lists = isObject(raw) ? Object.entries(raw).filter(([, entry]) => Array.isArray(entry)) : [];
  return lists.map(([name, entry]): SchemaProblem => {
    const choices = JSON.stringify(entry);
    const hint = `write ${name}: { type: choice, choices: ${choices} }, or { type: list, default: ${choices} }`;
    return { path: [name], part: "value", message: `${name}: ${choices} would be a list with that default`, hint };
  });
}

function readField(name: string, entry: unknown): { field?: Field; problems: SchemaProblem[] } {
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    const hint = "use letters, digits and _: a dash would read as minus in an expression";
    return {
      problems: [{ path: [], part: "key", message: `${JSON.stringify(name)} is not a valid field name`, hint }],
    };
  }
  if (entry === null) {
    const hint = `give it a default, as in ${name}: 85, or a type, as in ${name}: { type: text }`;
    return { problems: [{ path: [], part: "key", message: `${JSON.stringify(name)} has no value`, hint }] };
  }
  if (!isObject(entry)) return readShort(name, entry as Json);
  const parsed = parseWith(fieldSchema, entry);
  if (parsed.problems.length > 0) return { problems: parsed.problems };
  const { default: fallback, ...rest } = parsed.value as Omit<Field, "default"> & { default?: Json };
  const field: Field = rest;
  if (field.type === "choice" && field.choices === undefined) {
    const hint = "add choices: [a, b]";
    return { problems: [{ path: ["type"], part: "value", message: "a choice needs its choices", hint }] };
  }
  if (fallback === undefined || fallback === null) return { field, problems: [] };
  const checked = checkValue(field, fallback);
  if ("problem" in checked) {
    return {
      problems: [{ path: ["default"], part: "value", message: `the default is not valid: ${checked.problem}` }],
    };
  }
  return { field: { ...field, default: checked.value }, problems: [] };
}

function readShort(name: string, value: Json): { field?: Field; problems: SchemaProblem[] } {
  if (typeof value === "string" && (FIELD_TYPES as readonly string[]).includes(value)) {
    const message = `${name}: ${value} would be a text with the default ${JSON.stringify(value)}`;
    const hint = `write ${name}: { type: ${value} } for the type, or { type: text, default: ${value} }`;
    return { problems: [{ path: [], part: "value", message, hint }] };
  }
  const type = Array.isArray(value)
    ? "list"
    : typeof value === "string"
    ? "text"
    : typeof value as "number" | "boolean";
  return { field: { type, required: true, default: value }, problems: [] };
}
