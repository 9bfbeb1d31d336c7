import { z } from "zod";
import { isObject, type Json } from "../../model/json.ts";
import { type Field, FIELD_TYPES, type ItemField } from "../../model/rule.ts";
import { fieldInfo } from "../arg_types.ts";
import { parseWith, type SchemaProblem } from "../checker/sentences.ts";
import { patternProblem } from "../expressions/pattern.ts";
import { hintAtUnknown } from "../hints.ts";
import { findContradictions } from "./contradictions.ts";
import { asWritten, checkValue, hostProblem, isTextType, type SourceText, wholeText } from "./field_value.ts";

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const name = z.string().min(1);
const type = z.enum(FIELD_TYPES);
const host = z.string().superRefine((value, context) => {
  const message = hostProblem(value);
  if (message !== undefined) context.addIssue({ code: "custom", message });
});

/** What a value has to be. */
const valueShape = {
  choices: z.array(scalar).min(1).optional().describe("The values to choose from; for a secret, names of secrets"),
  min: z.number().optional().describe("Least number, or least length of a text or list"),
  max: z.number().optional().describe("Greatest number, or greatest length of a text or list, or most bytes of a file"),
  pattern: z.string().min(1).optional().describe("A regular expression that matches the whole text"),
  under: z.string().regex(/^\//, { error: "expected an absolute folder such as /srv/data" }).optional().describe(
    "For a path: the folder that it is in; without it the path is relative",
  ),
  hosts: z.array(host).min(1).optional().describe(
    "For an address or the name of a host: the only hosts that it may be, such as [app.asana.com]",
  ),
};

/** The long form of a field. */
export const fieldSchema = z.strictObject({
  type: type.describe("What kind of value it takes"),
  title: z.string().optional().describe("A readable name"),
  help: z.string().optional().describe("A sentence that explains it"),
  default: z.unknown().optional().describe("The value if none is set"),
  required: z.boolean().optional().describe("Whether a value must be set; by default yes, for commands no"),
  ...valueShape,
  lines: z.number().int().min(1).optional().describe("For text in a form: how many lines to show"),
  of: z.union([type, z.strictObject({ type, ...valueShape })]).optional().describe(
    "For a list: the type of its items, or { type: integer, min: 1 }",
  ),
  requires: z.array(z.union([name, z.strictObject({ any: z.array(name).min(1) })])).min(1).optional().describe(
    "Fields that must be set beside it: [a, { any: [b, c] }]",
  ),
  conflicts: z.array(name).min(1).optional().describe("Fields that must not be set beside it"),
});

/** The groups of which exactly one field is set. */
export const oneOfSchema = z.array(z.array(name).min(2)).min(1);

/** The key next to the fields; no field can have this name. */
const ONE_OF = "oneOf";

/** How fields are read. */
export interface FieldsOptions {
  /** Names may be flags such as `--retry` and `<file>`: for commands. By default they are words that expressions can use. */
  flags?: boolean;
  /** Whether a value must be set unless a field says otherwise. @default true */
  required?: boolean;
  /** Whether people can upload files: in forms. @default false */
  files?: boolean;
  /** The long form, with further options. @default fieldSchema */
  schema?: z.ZodType<z.output<typeof fieldSchema>>;
  /** The source text of scalars below the fields, so that `1.10` stays `1.10` where text is expected. */
  source?: SourceText;
}

/**
 * Parses the fields of `config`, of a form, or of `inputs`. `threshold: 85` is short for `{ type: number, default: 85 }`. The
 * key `oneOf` beside the fields has groups of which exactly one field is set.
 */
export function readFields(
  given: unknown,
  options: FieldsOptions = {},
): { fields: Record<string, Field>; problems: SchemaProblem[] } {
  const fields: Record<string, Field> = {};
  const problems: SchemaProblem[] = [];
  if (!isObject(given)) {
    const hint = "write each field on a line of its own: threshold: 85";
    return { fields, problems: [{ path: [], part: "value", message: "expected fields with their names", hint }] };
  }
  const raw = options.source === undefined ? given : fieldsAsWritten(given, options.source);
  const grouped = readGroups(raw, problems);
  for (const [name, entry] of Object.entries(raw)) {
    if (name === ONE_OF) continue;
    const found = readField(name, entry, grouped.get(name), options);
    problems.push(...found.problems.map((problem) => ({ ...problem, path: [name, ...problem.path] })));
    if (found.field !== undefined) fields[name] = found.field;
  }
  if (problems.length === 0) problems.push(...findContradictions(fields));
  return { fields, problems };
}

/** The groups of each field that is in one. */
function readGroups(raw: Record<string, unknown>, problems: SchemaProblem[]): Map<string, string[][]> {
  const grouped = new Map<string, string[][]>();
  if (!Object.hasOwn(raw, ONE_OF)) return grouped;
  const { value, problems: found } = parseWith(oneOfSchema, raw[ONE_OF]);
  problems.push(...found.map((problem) => ({ ...problem, path: [ONE_OF, ...problem.path] })));
  for (const [index, group] of (value ?? []).entries()) {
    for (const [at, name] of group.entries()) {
      grouped.set(name, [...grouped.get(name) ?? [], group]);
      const path = [ONE_OF, index, at];
      if (group.indexOf(name) !== at) {
        problems.push({ path, part: "value", message: `${name} stands here twice`, hint: "keep one of them" });
      } else if (!Object.hasOwn(raw, name) || name === ONE_OF) {
        const names = Object.keys(raw).filter((each) => each !== ONE_OF);
        const message = `there is no field ${JSON.stringify(name)}`;
        problems.push({ path, part: "value", message, hint: hintAtUnknown(name, names) });
      }
    }
  }
  return grouped;
}

/** Raw fields in which the default and the choices of text fields are as they are written. */
export function fieldsAsWritten(raw: Record<string, unknown>, source: SourceText): Record<string, unknown> {
  const read = (name: string, entry: unknown) => {
    if (!isObject(entry)) return entry;
    const own = outlineOf(entry);
    const of = outlineOf(isObject(entry.of) ? entry.of : { type: entry.of });
    if (own === undefined || !(isTextType(own) || (of && isTextType(of)))) return entry;
    const at = (key: string): SourceText => (path) => source([name, key, ...path]);
    return {
      ...entry,
      ...entry.default !== undefined && { default: asWritten({ ...own, of }, entry.default as Json, at("default")) },
      ...own.choices &&
        { choices: asWritten({ type: "list", of: of ?? { type: own.type } }, own.choices, at("choices")) },
    };
  };
  return Object.fromEntries(Object.entries(raw).map(([name, entry]) => [name, read(name, entry)]));
}

/** The type and the choices of a raw field; undefined if it has no known type. */
function outlineOf(entry: Record<string, unknown>): ItemField | undefined {
  const type = FIELD_TYPES.find((each) => each === entry.type);
  return type && { type, ...Array.isArray(entry.choices) && { choices: entry.choices } };
}

/** The fields of a form, by name; they cannot contain templates. */
export function fields(): z.ZodType<Record<string, Field>> {
  const schema = z.unknown().transform((value, context): Record<string, Field> => {
    const { fields, problems } = readFields(value, { files: true });
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

/** Reports lists as fields of a form: their author means the choices, but they would be the default of a list. */
function chosenFrom(raw: unknown): SchemaProblem[] {
  const lists = isObject(raw)
    ? Object.entries(raw).filter(([name, entry]) => name !== ONE_OF && Array.isArray(entry))
    : [];
  return lists.map(([name, entry]): SchemaProblem => {
    const choices = JSON.stringify(entry);
    const hint = `write ${name}: { type: choice, choices: ${choices} }, or { type: list, default: ${choices} }`;
    return { path: [name], part: "value", message: `${name}: ${choices} would be a list with that default`, hint };
  });
}

const WORD = /^[A-Za-z_]\w*$/;
/** `-m`, `--retry`, `<file>`, `genpkey`. */
const FLAG = /^(<[^<>\0]+>|[^\s<>\0]+)$/;

function readField(
  name: string,
  entry: unknown,
  groups: string[][] | undefined,
  { flags = false, required = true, files = false, schema = fieldSchema }: FieldsOptions,
): { field?: Field; problems: SchemaProblem[] } {
  if (!(flags ? FLAG : WORD).test(name) || name === "__proto__") {
    const hint = flags
      ? "write a flag such as --retry, <file> or a word, without spaces"
      : "use letters, digits and _: a dash would read as minus in an expression";
    return {
      problems: [{ path: [], part: "key", message: `${JSON.stringify(name)} is not a valid field name`, hint }],
    };
  }
  if (entry === null) {
    const hint = `give it a default, as in ${name}: 85, or a type, as in ${name}: { type: text }`;
    return { problems: [{ path: [], part: "key", message: `${JSON.stringify(name)} has no value`, hint }] };
  }
  if (!isObject(entry)) return readShort(name, entry as Json, groups);
  const parsed = parseWith(schema, entry);
  if (parsed.value === undefined) return { problems: parsed.problems };
  const { default: fallback, of, ...rest } = parsed.value;
  const field: Field = {
    ...rest,
    required: rest.required ?? (required && groups === undefined),
    ...groups && { oneOf: groups },
  };
  if (of !== undefined) field.of = typeof of === "string" ? { type: of } : of;
  if (field.type === "list") moveToItems(field);
  if (field.type === "file" && !files) {
    const hint = "ask for it in a form, or take it by a webhook";
    return { problems: [{ path: ["type"], part: "value", message: "only a form can ask for a file", hint }] };
  }
  const problems = [...problemsOfOptions(field), ...field.of ? problemsOfOptions(field.of, "of") : []];
  if (field.type === "file" && fallback !== undefined) {
    problems.push({ path: ["default"], part: "key", message: "a file has no default" });
  }
  if (problems.length > 0) return { problems };
  if (fallback === undefined || fallback === null) return { field, problems };
  const checked = checkValue(field, fallback as Json);
  if ("problem" in checked) {
    return {
      problems: [{ path: ["default"], part: "value", message: `the default is not valid: ${checked.problem}` }],
    };
  }
  return { field: { ...field, default: checked.value }, problems };
}

/** Options next to a list that apply to its items belong to these types. */
function moveToItems(field: Field): void {
  const { choices, pattern, under, hosts } = field;
  if ([choices, pattern, under, hosts].every((option) => option === undefined)) return;
  const type = under ? "path" : choices ? "choice" : hosts ? "url" : "text";
  const moved = { ...choices && { choices }, ...pattern && { pattern }, ...under && { under }, ...hosts && { hosts } };
  field.of = { type, ...field.of, ...moved };
  delete field.choices;
  delete field.pattern;
  delete field.under;
  delete field.hosts;
}

/** Options that do not fit the type, or that no value can satisfy. */
function problemsOfOptions(field: ItemField & Partial<Field>, below?: string): SchemaProblem[] {
  const problems: SchemaProblem[] = [];
  const { type, choices, min, max, pattern, under, of, hosts } = field;
  const report = (key: string, message: string, hint?: string, part: SchemaProblem["part"] = "value") =>
    problems.push({ path: below === undefined ? [key] : [below, key], part, message, ...(hint && { hint }) });
  if (type === "list" && below !== undefined) report("type", "a list of lists is not possible", "write of: text");
  if ((type === "choice" || type === "secret") && choices === undefined) {
    const what = type === "choice" ? "a choice" : "a secret";
    report("type", `${what} needs its choices`, type === "choice" ? "add choices: [a, b]" : "add choices: [API_TOKEN]");
  }
  if (type === "file") {
    if (below !== undefined) report("type", "a list of files is not possible", "make a field of each");
    if (choices !== undefined) report("choices", '"choices" means nothing for a file', undefined, "key");
  }
  if (of !== undefined && type !== "list") report("of", '"of" means nothing without type: list', undefined, "key");
  if (under !== undefined && type !== "path") {
    report("under", '"under" means nothing without type: path', undefined, "key");
  }
  if (hosts !== undefined && type !== "url" && type !== "text") {
    report(
      "hosts",
      `"hosts" means nothing for a ${type}`,
      "it limits a url, or a text that is the name of a host",
      "key",
    );
  }
  const fault = pattern === undefined ? undefined : patternProblem(wholeText(pattern));
  if (pattern !== undefined && !isTextType(field)) {
    report("pattern", `"pattern" means nothing for a ${type}`, undefined, "key");
  } else if (fault !== undefined) report("pattern", fault);
  if (min !== undefined && max !== undefined && min > max) {
    report("max", `it can never be set: "min" is ${min} and "max" is ${max}`);
  }
  for (const [index, choice] of problems.length > 0 ? [] : (choices ?? []).entries()) {
    const { choices: _choices, ...rest } = field;
    const isName = type !== "secret" || (typeof choice === "string" && /^[A-Za-z_][\w.-]*$/.test(choice));
    const checked = type === "choice" || type === "secret"
      ? checkValue({
        ...rest,
        type: typeof choice === "number" ? "number" : typeof choice === "boolean" ? "boolean" : "text",
        required: true,
      }, choice)
      : checkValue({ ...rest, required: true }, choice);
    const problem = isName ? "problem" in checked ? checked.problem : undefined : `expected the name of a secret`;
    const path = below === undefined ? ["choices", index] : [below, "choices", index];
    if (problem !== undefined) problems.push({ path, part: "value", message: `it can never be chosen: ${problem}` });
  }
  return problems;
}

function readShort(
  name: string,
  value: Json,
  groups: string[][] | undefined,
): { field?: Field; problems: SchemaProblem[] } {
  if (typeof value === "string" && FIELD_TYPES.some((type) => type === value)) {
    const message = `${name}: ${value} would be a text with the default ${JSON.stringify(value)}`;
    const hint = `write ${name}: { type: ${value} } for the type, or { type: text, default: ${value} }`;
    return { problems: [{ path: [], part: "value", message, hint }] };
  }
  const type = Array.isArray(value)
    ? "list"
    : typeof value === "string"
    ? "text"
    : typeof value as "number" | "boolean";
  return { field: { type, required: true, default: value, ...groups && { oneOf: groups } }, problems: [] };
}
