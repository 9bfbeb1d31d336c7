import { textOfValue } from "../language/fields/field_value.ts";
import { isOn } from "../language/fields/relations.ts";
import type { FieldProblem } from "../language/fields/check_values.ts";
import type { Json } from "../model/json.ts";
import type { Command, CommandInput } from "../model/rule.ts";
import { isPositional, placeOf } from "./command_inputs.ts";

/** The path of the file that a secret is in while the program runs. */
export type FileOf = (input: string, secret: string) => string;

/**
 * The arguments of a program: no shell interprets them, and none is split. Order: the inputs that are `first`; those
 * between; `end`; those that are `last`. The first and the last ones keep their order of declaration. Those between
 * are: the fixed ones that `only` does not list; those in `only`, or without it those that the caller set, as written;
 * the others, as declared. Among those between, `after` and `before` then move inputs to their places.
 * @param values checked, with defaults; null means not set
 * @param given the names that the caller has set, in the order written
 */
export function buildArgv(
  command: Pick<Command, "inputs" | "only" | "fixed" | "end">,
  values: Record<string, Json>,
  given: string[],
  fileOf: FileOf,
): string[] {
  const { inputs, only, fixed, end } = command;
  const declared = Object.keys(inputs);
  const set = new Set(declared.filter((name) => isOn(values[name])));
  const at = (place: string) => (name: string) => set.has(name) && placeOf(name, inputs[name]) === place;
  const ordered = new Set([
    ...fixed.map(([name]) => name).filter((name) => !only?.includes(name)),
    ...only ?? given,
    ...declared,
  ]);
  const write = (names: string[]) => names.flatMap((name) => argumentsOf(name, inputs[name], values[name], fileOf));
  const last = write(declared.filter(at("last")));
  return [
    ...write(declared.filter(at("first"))),
    ...write(anchored([...ordered].filter(at("middle")), inputs)),
    ...last.length > 0 && end !== undefined ? [end] : [],
    ...last,
  ];
}

/** Moves inputs with `after` or `before` to their places, if the input that they name is set. */
function anchored(names: string[], inputs: Record<string, CommandInput>): string[] {
  const anchorOf = (name: string) => inputs[name].after ?? inputs[name].before;
  const present = new Set(names);
  const moves = (name: string) => present.has(anchorOf(name) ?? "");
  let moving = names.filter(moves);
  const placed = names.filter((name) => !moves(name));
  // An anchor may itself have to move first.
  while (moving.length > 0) {
    const next = moving.find((name) => placed.includes(anchorOf(name)!))!;
    moving = moving.filter((name) => name !== next);
    const { after, before } = inputs[next];
    let index = placed.indexOf((after ?? before)!);
    if (after !== undefined) { do index++; while (index < placed.length && inputs[placed[index]].after === after); }
    placed.splice(index, 0, next);
  }
  return placed;
}

function argumentsOf(name: string, input: CommandInput, value: Json, fileOf: FileOf): string[] {
  const { type, join = " ", each, pass } = input;
  if (value === true) return [name];
  if (type === "secret") {
    return pass === "file" ? argumentsOf(name, { ...input, type: "text" }, fileOf(name, value as string), fileOf) : [];
  }
  const texts = textsOf(input, value);
  const written = each === "," ? [texts.join(",")] : texts;
  if (isPositional(name, input)) return written;
  return written.flatMap((text) => join === " " ? [name, text] : [`${name}${join}${text}`]);
}

function textsOf({ type }: Pick<CommandInput, "type">, value: Json): string[] {
  return type === "list" ? (value as Json[]).map(textOfArgument) : [textOfArgument(value)];
}

/** Writes whole numbers without an exponent, because programs do not parse exponents. */
function textOfArgument(value: Json): string {
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value).toString() : textOfValue(value);
}

/** Values that cannot be written as an argument, or that the program would not parse as a value. */
export function problemsOfArguments(
  { inputs, end }: Pick<Command, "inputs" | "end">,
  name: string,
  value: Json,
): FieldProblem[] {
  const input = inputs[name];
  if (!isOn(value) || value === true || input.type === "secret") return [];
  const problem = (message: string, hint: string): FieldProblem[] => [{ key: name, kind: "unfit", message, hint }];
  const texts = textsOf(input, value);
  if (texts.some((text) => text.includes("\0"))) return problem("an argument cannot contain NUL", "take it out");
  if (!texts.every((text) => text.isWellFormed())) {
    return problem("an argument cannot contain half of a surrogate pair", "it has no form in UTF-8");
  }
  if (input.each === "," && texts.some((text) => text.includes(","))) {
    return problem("an item with a comma would become two", "use each: repeat, or items without commas");
  }
  if (isPositional(name, input)) {
    const text = texts.find((each) => each.startsWith("-"));
    const ended = placeOf(name, input) === "last" && end !== undefined;
    if (text === undefined || ended) return [];
    const hint = placeOf(name, input) === "last"
      ? 'if the program knows it, add end: "--"'
      : "begin it with ./ if it is a path";
    return problem(`${JSON.stringify(text)} begins with -, so the program would read it as a flag`, hint);
  }
  if (input.join === "" && texts.includes("")) {
    return problem(`an empty value behind ${name} would leave the flag alone`, "give it a value");
  }
  return [];
}
