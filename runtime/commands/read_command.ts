import { posix } from "node:path";
import { z } from "zod";
import type { Checking } from "../language/checker/checking.ts";
import { parseWith } from "../language/checker/sentences.ts";
import { checkValues } from "../language/fields/check_values.ts";
import { hasTemplate } from "../language/arg_types.ts";
import { allAsWritten, checkValue } from "../language/fields/field_value.ts";
import { fieldsAsWritten } from "../language/fields/read_fields.ts";
import { hintAtUnknown, show } from "../language/hints.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Command, CommandInput } from "../model/rule.ts";
import { problemsOfArguments } from "./argv.ts";
import { settable } from "./check_set.ts";
import { mergeInputs, readInputs } from "./command_inputs.ts";
import { isConstraint } from "./program_version.ts";

/** A command with the data that commands based on it need. */
export interface ReadCommand {
  /** Absent if the file has errors. */
  command?: Command;
  /** Its inputs before they are parsed, including those of the command that it is based on. */
  rawInputs: JsonObject;
}

const text = z.string().min(1);
const words = z.array(z.string()).min(1);
const constraint = z.string().refine(isConstraint, { error: "expected versions such as 8.5, >=7.9 or >=7.9 <9" });

/** The keys of a command file with their schemas. `inputs`, `with` and `tests` are checked separately. */
export const COMMAND_SCHEMAS = {
  command: text.describe("A program in PATH, a path such as ./tool.sh, or ./other.yaml, of which this is one use"),
  name: text.describe("Its name for people"),
  help: text.describe("A sentence that explains it"),
  version: z.union([constraint, z.strictObject({ is: constraint, by: words.default(["--version"]) })]).describe(
    'The version that the program has to have: "8.5", or { is: ">=7.9", by: [--version] }',
  ),
  import: z.string().regex(/\.json$/, { error: "expected the path of a JSON file such as ./oto/curl.json" }).describe(
    "OTO's export of one executable, relative to this file; its parameters are inputs below those here",
  ),
  only: words.describe("What callers may set, in the order of argv"),
  end: text.describe('Put before what comes last, such as "--"'),
  root: z.boolean().describe("Runs as root, by sudo -n where the program is not"),
  complete: z.boolean().describe("What is required by what is set is added"),
};

/** Keys of a command file. */
export const COMMAND_KEYS = [...Object.keys(COMMAND_SCHEMAS), "inputs", "with", "tests"];

/** Keys of other kinds of files; the loader reports them in a command file. */
export const OTHER_KINDS = ["when", "then", "devices"];

/** Whether the value of `command` names another command file. */
export function isUse(command: unknown): command is string {
  return typeof command === "string" && /^\.\.?\/.*\.ya?ml$/.test(command);
}

/** The files that a command file builds on. */
interface Below {
  /** The id: its path without extension. */
  id: string;
  /** The command that it is based on, if `command` names one. */
  base?: { command: Command; rawInputs: JsonObject };
  /** The inputs of the file under `import`. */
  imported: JsonObject;
}

type Values = { [Key in keyof typeof COMMAND_SCHEMAS]?: z.output<typeof COMMAND_SCHEMAS[Key]> };

/** Parses a command file. */
export function readCommand(checking: Checking, raw: JsonObject, { id, base, imported }: Below): ReadCommand {
  const { origin: { file } } = checking;
  const values = readValues(checking, raw);
  const source = checking.sourceBelow(["inputs"]);
  const own = raw.inputs === undefined || raw.inputs === null ? {} : raw.inputs;
  const isRead = isObject(own);
  if (!isRead) checking.addAll(["inputs"], readInputs(own).problems);
  const above = isRead ? fieldsAsWritten(own, source) as JsonObject : {};
  const rawInputs = mergeInputs(mergeInputs(base?.rawInputs ?? {}, imported), above);
  const { inputs, problems } = readInputs(rawInputs);
  checking.addAll(["inputs"], problems);
  const only = values.only ?? base?.command.only;
  if (values.only !== undefined) checkOnly(checking, values.only, inputs, base?.command);
  const fixed = [...base?.command.fixed ?? [], ...readFixed(checking, raw, inputs, base?.command)];
  const { name, help, version } = values;
  const command: Command = {
    id,
    file,
    at: checking.origin.at(["command"], "value"),
    ...name !== undefined && { name },
    ...help !== undefined && { help },
    program: base?.command.program ?? programOf(checking, values.command ?? "", file),
    ...base?.command.version && { version: base.command.version },
    ...version !== undefined && { version: typeof version === "string" ? { is: version, by: ["--version"] } : version },
    inputs,
    ...only && { only },
    fixed,
    ...endOf(values.end ?? base?.command.end),
    root: values.root ?? base?.command.root ?? false,
    complete: values.complete ?? base?.command.complete ?? false,
  };
  if (checking.ok) checkPossible(checking, command);
  return { rawInputs, ...checking.ok && { command } };
}

function endOf(end: string | undefined): Pick<Command, "end"> {
  return end === undefined ? {} : { end };
}

/** All keys except `inputs`, `with` and `tests`. */
function readValues(checking: Checking, raw: JsonObject): Values {
  const known = Object.fromEntries(Object.entries(raw).filter(([key]) => !OTHER_KINDS.includes(key)));
  checking.checkKeys(known, [], COMMAND_KEYS, ["inputs"]);
  const values: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(COMMAND_SCHEMAS)) {
    if (raw[key] === undefined || raw[key] === null) continue;
    if (key === "version" && typeof raw[key] === "number") {
      const written = checking.origin.written?.(["version"]) ?? String(raw[key]);
      checking.error(
        [key],
        "value",
        `expected text, got ${written}`,
        `write version: "${written}": 8.10 is the number 8.1`,
      );
      continue;
    }
    const { value, problems } = parseWith(schema, raw[key]);
    checking.addAll([key], problems);
    values[key] = value;
  }
  return values as Values;
}

/** A path is kept relative to the rules folder; a program in PATH has no slash. */
function programOf(checking: Checking, program: string, file: string): string {
  const report = (message: string, hint: string) => checking.error(["command"], "value", message, hint);
  const isPath = program.includes("/");
  if (/^\.\.?\//.test(program)) {
    const path = posix.join(posix.dirname(file), program);
    return path.startsWith("../") ? path : `./${path}`;
  }
  if (isPath && !program.startsWith("/")) report(`${show(program)} is no path`, `write ./${program}`);
  else if (program.startsWith("-") || program.includes("\0")) {
    report(`${show(program)} is no program`, "name a program");
  } else if (!isPath && /\s/.test(program)) {
    report(
      `${show(program)} is no program: nothing is split`,
      `write command: ${program.split(/\s/)[0]}, and its arguments as inputs`,
    );
  }
  return program;
}

function checkOnly(
  checking: Checking,
  only: string[],
  inputs: Record<string, CommandInput>,
  base: Command | undefined,
): void {
  for (const [index, name] of only.entries()) {
    const path = ["only", index];
    if (!Object.hasOwn(inputs, name)) checking.error(path, "value", ...unknownInput(name, Object.keys(inputs)));
    else if (only.indexOf(name) !== index) {
      checking.error(path, "value", `${name} stands here twice`, "keep one of them");
    } else if (base?.only && !base.only.includes(name)) {
      const hint = `it is not in only: of ${base.file}`;
      checking.error(path, "value", `${name} cannot be set in ${base.id}`, hint);
    }
  }
}

function unknownInput(name: string, known: string[]): [message: string, hint: string] {
  return [`there is no input ${show(name)}`, hintAtUnknown(name, known)];
}

/** The values under `with`, in their order. */
function readFixed(
  checking: Checking,
  raw: JsonObject,
  inputs: Record<string, CommandInput>,
  base: Command | undefined,
): [string, Json][] {
  if (raw.with === undefined || raw.with === null) return [];
  if (!isObject(raw.with)) {
    checking.error(["with"], "value", `expected values by input, got ${show(raw.with)}`, "as in { -algorithm: RSA }");
    return [];
  }
  const values = allAsWritten(inputs, raw.with, checking.sourceBelow(["with"]));
  return Object.entries(values).filter(([name, value]) => {
    const path = ["with", name];
    if (!Object.hasOwn(inputs, name)) checking.error(path, "key", ...unknownInput(name, Object.keys(inputs)));
    else if (base && !settable(base).includes(name)) {
      checking.error(
        path,
        "key",
        `${name} cannot be set: it is fixed in ${base.id}, or not in its only`,
        "take it out",
      );
    } else if (hasTemplate(value)) {
      checking.error(path, "value", "an expression cannot stand here", "let the caller set it");
    } else {
      const alone = inputs[name].value === "optional" && typeof value === "boolean";
      const checked = alone ? { value } : checkValue(inputs[name], value);
      const problem = "problem" in checked ? checked.problem : problemsOfArguments({ inputs }, name, value)[0]?.message;
      if (problem === undefined) return true;
      checking.error(path, "value", problem);
    }
    return false;
  });
}

/** Reports problems that no caller can fix: fixed values that conflict, or a required input that can never be set. */
function checkPossible(checking: Checking, command: Command): void {
  const { inputs, fixed } = command;
  const free = new Set(settable(command));
  const { problems } = checkValues(
    inputs,
    Object.fromEntries(fixed.filter(([, value]) => typeof value !== "boolean" || value)),
    free,
  );
  for (const { message, key } of problems.filter(({ kind }) => kind !== "unfit")) {
    const says = message.startsWith("expected ") ? `${key} is required, and nobody can set it` : message;
    checking.error([command.fixed.length > 0 ? "with" : "only"], "key", says, "add it to only or with");
  }
}
