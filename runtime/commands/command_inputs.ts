import { z } from "zod";
import type { SchemaProblem } from "../language/checker/sentences.ts";
import { fieldSchema, readFields } from "../language/fields/read_fields.ts";
import { hintAtUnknown } from "../language/hints.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Command, CommandInput } from "../model/rule.ts";

const name = z.string().min(1);

/** The long form of an input: a field, and how its value is written in argv. */
export const inputSchema = fieldSchema.extend({
  root: z.boolean().optional().describe("Only root can use it: the command needs root: true"),
  value: z.literal("optional").optional().describe("The flag also stands alone, set to true; needs join"),
  join: z.enum([" ", "=", ""]).optional().describe("How flag and value meet; by default they are two arguments"),
  position: z.enum(["first", "last"]).optional().describe("Before or after all others, without a flag"),
  after: name.optional().describe("Directly after this input, if that is set"),
  before: name.optional().describe("Directly before this input, if that is set"),
  each: z.enum(["repeat", ","]).optional().describe("How a list is written: by default an argument for each item"),
  pass: z.string().regex(/^(file|stdin|env [A-Za-z_]\w*)$/, {
    error: 'expected "file", "stdin" or "env NAME"',
  }).optional().describe("How a secret gets to the program: file, stdin, or env NAME"),
  "x-oto": z.record(z.string(), z.unknown()).optional().describe("What OTO's export says beside this"),
});

/** Whether an input is written without its flag. */
export function isPositional(name: string, { position }: Pick<CommandInput, "position">): boolean {
  return position !== undefined || name.startsWith("<");
}

/** The position of an input: before or after all others, or between them. `<name>` comes last. */
export function placeOf(name: string, { position }: Pick<CommandInput, "position">): "first" | "middle" | "last" {
  return position ?? (name.startsWith("<") ? "last" : "middle");
}

/** Merges inputs over others: the options of an input are added to those of the other input of the same name. */
export function mergeInputs(below: JsonObject, above: JsonObject): JsonObject {
  const merged: JsonObject = { ...below };
  for (const [key, entry] of Object.entries(above)) {
    const other = Object.hasOwn(below, key) ? below[key] : undefined;
    merged[key] = isObject(other) && isObject(entry) ? { ...other, ...entry } : entry;
  }
  return merged;
}

/** Parses the inputs of a command, and reports combinations that make no sense on a command line. */
export function readInputs(raw: Json): { inputs: Record<string, CommandInput>; problems: SchemaProblem[] } {
  const { fields, problems } = readFields(raw, { flags: true, required: false, schema: inputSchema });
  const inputs = fields as Record<string, CommandInput>;
  const found = Object.entries(inputs).flatMap(([name, input]) =>
    [
      ...problemsOfInput(name, input),
      ...problemsOfAnchor(name, inputs),
    ].map((problem): SchemaProblem => ({ ...problem, path: [name, ...problem.path] }))
  );
  return { inputs, problems: [...problems, ...found, ...problemsOfStdin(inputs)] };
}

function problemsOfInput(name: string, input: CommandInput): SchemaProblem[] {
  const { type, value, join, position, after, before, each, pass } = input;
  const problems: SchemaProblem[] = [];
  const report = (key: string | undefined, message: string, hint: string) =>
    problems.push({ path: key === undefined ? [] : [key], part: "key", message, hint });
  const alone = isPositional(name, input);
  if (/^\d+$/.test(name)) {
    report(undefined, `${JSON.stringify(name)} is no name for an input`, "its place among the others would be lost");
  }
  if (type === "secret" && pass === undefined) {
    const hint = "add pass: file, pass: stdin or pass: env NAME";
    report(undefined, `the secret ${name} would stand in argv, which everybody on the machine can read`, hint);
  }
  if (input.of?.type === "secret") report("of", `the secrets in ${name} would stand in argv`, "make an input of each");
  if (pass !== undefined && type !== "secret") {
    report("pass", '"pass" means nothing without type: secret', "take it out");
  }
  if (name.startsWith("<") && type === "boolean") {
    report(undefined, `${name} stands for a value, so it cannot be a boolean`, "give it another type, such as text");
  }
  if (join !== undefined && (type === "boolean" || alone)) {
    report("join", '"join" means nothing without a flag and a value', "take it out");
  }
  if (each !== undefined && type !== "list") report("each", '"each" means nothing without type: list', "take it out");
  if (value !== undefined && (type === "boolean" || type === "list" || type === "secret" || alone)) {
    report("value", `"value: optional" means nothing for a ${alone ? "value without a flag" : type}`, "take it out");
  } else if (value !== undefined && (join ?? " ") === " ") {
    report(
      "value",
      '"value: optional" needs a join',
      'add join: "=" or join: "": after a blank it is another argument',
    );
  }
  if (after !== undefined && before !== undefined) {
    report("before", '"after" and "before" exclude each other', "keep one");
  }
  const anchor = after !== undefined ? "after" : before !== undefined ? "before" : undefined;
  if (anchor !== undefined && placeOf(name, input) !== "middle") {
    report(
      anchor,
      `"${anchor}" means nothing for what comes ${placeOf(name, input)}`,
      `take it or ${position ? "position" : "the <>"} out`,
    );
  }
  return problems;
}

function problemsOfAnchor(name: string, inputs: Record<string, CommandInput>): SchemaProblem[] {
  const { after, before } = inputs[name];
  const anchor = after ?? before;
  if (anchor === undefined) return [];
  const at = { path: [after !== undefined ? "after" : "before"], part: "value" as const };
  if (!Object.hasOwn(inputs, anchor)) {
    const hint = hintAtUnknown(anchor, Object.keys(inputs));
    return [{ ...at, message: `there is no input ${JSON.stringify(anchor)}`, hint }];
  }
  const place = placeOf(anchor, inputs[anchor]);
  if (place !== "middle") {
    return [{ ...at, message: `${anchor} comes ${place}, after or before all others`, hint: `use position: ${place}` }];
  }
  const seen = [name];
  for (let next: string | undefined = anchor; next !== undefined; next = inputs[next]?.after ?? inputs[next]?.before) {
    if (next === name) {
      return [{ ...at, message: `no order is possible: ${[...seen, name].join(" → ")}`, hint: "break the circle" }];
    }
    if (seen.includes(next)) return [];
    seen.push(next);
  }
  return [];
}

/** A program has one standard input. */
function problemsOfStdin(inputs: Record<string, CommandInput>): SchemaProblem[] {
  const [first, ...others] = Object.keys(inputs).filter((name) => inputs[name].pass === "stdin");
  return others.map((name) => ({
    path: [name, "pass"],
    part: "value",
    message: `${first} already goes to the standard input`,
    hint: "pass one of them by file or env",
  }));
}

/** The relations between inputs as a graph for Graphviz: arrows mean "requires", dashed lines "excludes". */
export function commandAsDot({ id, inputs }: Pick<Command, "id" | "inputs">): string {
  const related = new Set<string>();
  const lines: string[] = [];
  const edge = (from: string, to: string, style: string) => {
    related.add(from).add(to);
    lines.push(`  ${quoted(from)} -> ${quoted(to)}${style};`);
  };
  const excluded = new Set<string>();
  const exclude = (a: string, b: string) => {
    const pair = JSON.stringify([a, b].sort());
    if (a === b || excluded.has(pair)) return;
    excluded.add(pair);
    edge(a, b, " [dir=none, style=dashed, color=red]");
  };
  for (const [name, { requires = [], conflicts = [], oneOf = [] }] of Object.entries(inputs)) {
    for (const other of requires) {
      if (typeof other === "string") edge(name, other, "");
      else for (const each of other.any) edge(name, each, ' [style=dotted, label="any"]');
    }
    for (const other of [...conflicts, ...oneOf.flat()]) exclude(name, other);
  }
  const alone = Object.keys(inputs).filter((name) => !related.has(name)).map((name) => `  ${quoted(name)};`);
  return [`digraph ${quoted(id)} {`, "  rankdir=LR;", "  node [shape=box];", ...alone, ...lines, "}", ""].join("\n");
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}
