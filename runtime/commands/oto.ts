import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseWith } from "../language/checker/sentences.ts";
import type { JsonObject } from "../model/json.ts";
import type { Command, CommandInput, Field } from "../model/rule.ts";

/** One parameter of OTO's export. It refers to other flags of the same executable. */
const PARAMETER = z.looseObject({
  flag: z.string().min(1),
  description: z.string().nullish(),
  executable_tag: z.string().min(1),
  requires_root: z.boolean(),
  requires_value: z.boolean(),
  value_type: z.string(),
  require_ids: z.array(z.string()).nullish(),
  interfer_ids: z.array(z.string()).nullish(),
});

type Parameter = z.output<typeof PARAMETER>;

/** The options of an input that a parameter of OTO's can express. */
type Expressible = Pick<CommandInput, "type" | "help" | "root" | "value" | "requires" | "conflicts" | "choices">;
/** The same as written in a file, with what follows from the type. */
type OtoInput = Expressible & Pick<CommandInput, "join"> & { of?: "text" };

/** The content of an export: the inputs of one executable. */
export interface OtoImport {
  /** As OTO names it: `openssl - 3.5.3`. */
  tag: string;
  /** The program, which the tag begins with. */
  program: string;
  inputs: JsonObject;
  /** References to flags that the export does not have; they are dropped. */
  dangling: string[];
}

/** OTO's types with ours; all others are text. */
const TYPES: Record<string, Field["type"]> = {
  int: "integer",
  string: "text",
  tuple: "list",
  path: "path",
  float: "number",
  ip: "ip",
  port: "port",
};

/**
 * Reads OTO's export of parameters. Data that an input cannot express is kept in its `x-oto`, so that {@link exportOto}
 * restores the export unchanged.
 * @returns the inputs, or the problem of the export, in one sentence
 */
export function importOto(value: unknown): OtoImport | { problem: string; hint: string } {
  const hint =
    "expected OTO's export: [{ flag, description, executable_tag, requires_root, requires_value, value_type }]";
  const { value: parameters, problems: [first] } = parseWith(z.array(PARAMETER).min(1), value);
  if (parameters === undefined) {
    return { problem: [...first.path.length ? [`${first.path.join(".")}: `] : [], first.message].join(""), hint };
  }
  const tags = [...new Set(parameters.map(({ executable_tag }) => executable_tag))];
  if (tags.length > 1) {
    return { problem: `it has several executables: ${tags.join(", ")}`, hint: "make a file of each" };
  }
  const flags = parameters.map(({ flag }) => flag);
  const twice = flags.find((flag, index) => flags.indexOf(flag) !== index);
  if (twice !== undefined) return { problem: `${twice} stands there twice`, hint: "keep one of them" };
  const [tag] = tags;
  const known = new Set(flags);
  const inputs = Object.fromEntries(parameters.map((parameter) => [parameter.flag, inputOf(parameter, tag, known)]));
  const dangling = parameters.flatMap(({ flag, require_ids, interfer_ids }) => [
    ...without(known, require_ids).map((other) => `${flag} requires ${other}, which is not there`),
    ...without(known, interfer_ids).map((other) => `${flag} conflicts with ${other}, which is not there`),
  ]);
  return { tag, program: tag.split(/ +- +|\s/)[0], inputs, dangling };
}

function without(known: ReadonlySet<string>, flags: string[] | null | undefined): string[] {
  return (flags ?? []).filter((flag) => !known.has(flag));
}

function inputOf(parameter: Parameter, tag: string, known: ReadonlySet<string>): JsonObject {
  const { flag, description, requires_root, requires_value, value_type, require_ids, interfer_ids } = parameter;
  const requires = (require_ids ?? []).filter((other) => known.has(other));
  const conflicts = (interfer_ids ?? []).filter((other) => known.has(other));
  const input: OtoInput = {
    ...typeOf(flag, value_type, requires_value),
    ...description && { help: description },
    ...requires_root && { root: true },
    ...requires.length > 0 && { requires },
    ...conflicts.length > 0 && { conflicts },
  };
  const again = parameterOf(flag, input, tag);
  const keys = new Set([...Object.keys(parameter), ...Object.keys(again)]);
  const differing = [...keys].filter((key) => !isDeepStrictEqual(again[key], parameter[key]));
  if (differing.length === 0) return input;
  // For a key that the export does not have, null would be a value: these keys are listed under "".
  const absent = differing.filter((key) => !Object.hasOwn(parameter, key));
  const present = differing.filter((key) => Object.hasOwn(parameter, key));
  return {
    ...input,
    "x-oto": {
      ...Object.fromEntries(present.map((key) => [key, (parameter as JsonObject)[key]])),
      ...absent.length > 0 && { "": absent },
    },
  };
}

/** A flag whose type also works without a value has an optional value. */
function typeOf(
  flag: string,
  value_type: string,
  requires_value: boolean,
): Pick<OtoInput, "type" | "choices" | "of" | "value" | "join"> {
  if (["bool", "none", ""].includes(value_type)) {
    return requires_value ? { type: "choice", choices: ["true", "false"] } : { type: "boolean" };
  }
  const type = TYPES[value_type] ?? "text";
  if (requires_value || flag.startsWith("<")) return type === "list" ? { type, of: "text" } : { type };
  if (type === "list") return { type: "text", value: "optional", join: flag.startsWith("--") ? "=" : "" };
  return { type, value: "optional", join: flag.startsWith("--") ? "=" : "" };
}

const OTO_TYPES: Partial<Record<Field["type"], string>> = {
  boolean: "bool",
  integer: "int",
  list: "tuple",
  path: "path",
  number: "float",
  ip: "ip",
  port: "port",
};

function parameterOf(flag: string, input: Expressible, tag: string): JsonObject {
  const { type, help, root, value, requires = [], conflicts = [], choices } = input;
  const isFlag = type === "boolean";
  const isBool = type === "choice" && isDeepStrictEqual(choices, ["true", "false"]);
  const flags = requires.filter((name) => typeof name === "string");
  return {
    flag,
    description: help ?? "",
    executable_tag: tag,
    requires_root: root ?? false,
    requires_value: !isFlag && value !== "optional",
    value_type: isBool ? "bool" : OTO_TYPES[type] ?? "string",
    ...flags.length > 0 && { require_ids: flags },
    ...conflicts.length > 0 && { interfer_ids: conflicts },
  };
}

/** OTO's parameters of a command, and a sentence for each thing that they cannot express. */
export function exportOto(command: Command, tag: string): { parameters: JsonObject[]; lost: string[] } {
  const { inputs, only, fixed, end, version } = command;
  const parameters = Object.entries(inputs).map(([flag, input]) => {
    const { "": absent = [], ...kept } = input["x-oto"] ?? {};
    const whole: JsonObject = { ...parameterOf(flag, input, tag), ...kept };
    for (const key of absent as string[]) delete whole[key];
    return whole;
  });
  const of = (key: string, is: unknown) => is === undefined ? [] : [key];
  const general = [
    ...of("version", version),
    ...of("only", only),
    ...fixed.length > 0 ? ["with"] : [],
    ...of("end", end),
    ...command.root ? ["root"] : [],
    ...command.complete ? ["complete"] : [],
  ];
  return {
    parameters,
    lost: [
      ...general.map((key) => `OTO's export cannot hold "${key}" of ${command.id}`),
      ...Object.entries(inputs).flatMap(([name, input]) =>
        lostOf(input).map((what) => `OTO's export cannot hold ${what} of ${name}`)
      ),
    ],
  };
}

const LOST = [
  "title",
  "default",
  "min",
  "max",
  "pattern",
  "under",
  "oneOf",
  "position",
  "after",
  "before",
  "each",
  "pass",
] as const;

function lostOf(input: CommandInput): string[] {
  const { type, choices, of, join, value, requires = [], required } = input;
  const isBool = isDeepStrictEqual(choices, ["true", "false"]);
  const keys: string[] = LOST.filter((key) => input[key] !== undefined);
  if (required) keys.push("required");
  if (choices !== undefined && !isBool) keys.push("choices");
  if (of !== undefined && !isDeepStrictEqual(of, { type: "text" })) keys.push("of");
  if (join !== undefined && value !== "optional") keys.push("join");
  return [
    ...keys.map((key) => `"${key}"`),
    ...requires.some((name) => typeof name !== "string") ? ['"any" in "requires"'] : [],
    ...["date", "duration", "email", "url", "secret"].includes(type) ? [`the type "${type}"`] : [],
  ];
}
