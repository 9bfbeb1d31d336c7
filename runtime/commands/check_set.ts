import { checkValues, type FieldProblem } from "../language/fields/check_values.ts";
import { complete, type Completion, isOn } from "../language/fields/relations.ts";
import { hintAtUnknown } from "../language/hints.ts";
import type { Json } from "../model/json.ts";
import type { Command, CommandInput, Field } from "../model/rule.ts";
import { buildArgv, type FileOf, problemsOfArguments } from "./argv.ts";

/** Values for a command as a list of pairs: their order is that of argv. */
export type Pairs = [name: string, value: Json][];

/** A set of values, checked against a command. */
export interface CheckedSet {
  /** The arguments; absent if there are problems, or if some values are not known yet. */
  argv?: string[];
  /** The values of all inputs, with defaults; null means not set. */
  values: Record<string, Json>;
  problems: FieldProblem[];
  /** The smallest valid superset of this set; null if there is none. */
  complete: Completion | null;
}

/** How a set is checked. */
interface CheckSetOptions {
  /** Inputs whose values are not known yet. */
  open?: ReadonlySet<string>;
  /** By default a description: nothing is written before the program starts. */
  fileOf?: FileOf;
  /** Whether to search for missing inputs, too. By default only if the command completes sets. */
  completes?: boolean;
}

/** The names that callers may set. */
export function settable({ inputs, only, fixed }: Pick<Command, "inputs" | "only" | "fixed">): string[] {
  const taken = new Set(fixed.map(([name]) => name));
  return (only ?? Object.keys(inputs)).filter((name) => !taken.has(name));
}

/** The inputs that callers may set. */
export function callerInputs(command: Pick<Command, "inputs" | "only" | "fixed">): Record<string, CommandInput> {
  return Object.fromEntries(settable(command).map((name) => [name, command.inputs[name]]));
}

/** Checks a set of values, reports all problems together, and builds the arguments. Pure: it starts no program. */
export function checkSet(command: Command, given: Pairs, options: CheckSetOptions = {}): CheckedSet {
  const { open = new Set(), fileOf = (input, secret) => `(file with ${secret} for ${input})` } = options;
  const { accepted, problems } = accept(command, given);
  const set: Record<string, Json> = Object.fromEntries([...command.fixed, ...accepted]);
  const fields = fieldsFor(command.inputs, set);
  const known = Object.fromEntries(Object.entries(set).filter(([name]) => !open.has(name)));
  const completion = open.size > 0 || !(command.complete || options.completes) ? undefined : complete(fields, known);
  const checked = checkValues(fields, command.complete && completion ? completion.values : known, open);
  problems.push(...checked.problems);
  const wrong = new Set(problems.map(({ key }) => key));
  for (const [name, value] of Object.entries(checked.values)) {
    if (wrong.has(name)) continue;
    problems.push(...problemsOfArguments(command, name, value));
    if (command.inputs[name].root && !command.root && isOn(value)) problems.push(needsRoot(name));
  }
  return {
    ...problems.length === 0 && open.size === 0 && {
      argv: buildArgv(command, checked.values, accepted.map(([name]) => name), fileOf),
    },
    values: checked.values,
    problems,
    complete: completion ?? null,
  };
}

function needsRoot(name: string): FieldProblem {
  return { key: name, kind: "conflict", message: `${name} needs root`, hint: "write root: true in the command file" };
}

/** The problem of an input whose value holds a secret. */
export function secretInArgv(key: string): FieldProblem {
  const message = `a secret in ${key} would stand in argv, which everybody on the machine can read`;
  return { key, kind: "unfit", message, hint: "give the input type: secret and pass: file, stdin or env NAME" };
}

/** Removes inputs that callers may not set. */
function accept(command: Command, given: Pairs): { accepted: Pairs; problems: FieldProblem[] } {
  const { inputs, fixed } = command;
  const names = settable(command);
  const isSettable = new Set(names);
  const always = new Map(fixed);
  const problems: FieldProblem[] = [];
  const accepted = given.filter(([key, value]) => {
    if (isSettable.has(key)) return value !== null;
    if (always.has(key)) {
      const message = `${key} is fixed: it is always ${JSON.stringify(always.get(key))}`;
      problems.push({ key, kind: "conflict", message, hint: "take it out" });
    } else if (Object.hasOwn(inputs, key)) {
      const hint = `here can be set: ${names.join(", ") || "nothing"}`;
      problems.push({ key, kind: "unknown", message: `${key} cannot be set here`, hint });
    } else {
      const message = `unknown input ${JSON.stringify(key)}`;
      problems.push({ key, kind: "unknown", message, hint: hintAtUnknown(key, names) });
    }
    return false;
  });
  return { accepted, problems };
}

/** The inputs as fields. If a value is optional, true sets the flag alone, and false does not set it. */
function fieldsFor(inputs: Record<string, CommandInput>, set: Record<string, Json>): Record<string, Field> {
  const alone = Object.entries(inputs).filter(([name, { value }]) => {
    return value === "optional" && Object.hasOwn(set, name) && typeof set[name] === "boolean";
  });
  if (alone.length === 0) return inputs;
  const flags = alone.map((
    [name, { type: _type, choices: _choices, min: _min, max: _max, pattern: _pattern, ...rest }],
  ) => [name, { ...rest, type: "boolean" as const }] as const);
  return { ...inputs, ...Object.fromEntries(flags) };
}
