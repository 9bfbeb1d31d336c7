import { createHash } from "node:crypto";
import { basename } from "node:path";
import { writeExactJson } from "../formats/exact_json.ts";
import { OTHER_KINDS } from "../commands/read_command.ts";
import { ACTION_KEYS } from "../language/checker/check_rule.ts";
import type { Origin } from "../language/checker/checking.ts";
import type { JsonObject } from "../model/json.ts";
import { guarded, type Position, type Problem } from "../model/problem.ts";
import type { Definition } from "../model/rule.ts";
import type { LoadedTypeScript } from "./typescript/typescript.ts";
import { TypeScriptOrigin } from "./typescript/typescript_origin.ts";
import type { YamlFile } from "./yaml/yaml.ts";

/** The kind and contents of one file of the folder, before it is checked. */
export type Source =
  | RuleSource
  | ActionSource
  | CommandSource
  | FleetSource
  /** A module to import or call. */
  | { kind: "helper"; file: string; problems: Problem[] }
  /** Nothing in it can be checked. */
  | { kind: "unreadable"; file: string; problems: Problem[] };

export interface RuleSource {
  kind: "rule";
  file: string;
  /** Its id, from `id:` or from its path. */
  id: string;
  idAt: Position;
  raw: JsonObject;
  origin: Origin;
  /** For a TypeScript file, whose `origin` knows only where the rule is: one that knows the positions of its parts. */
  exactOrigin?: () => Origin;
  /** Its problems so far. */
  problems: Problem[];
  /** The file, or the bundle of a TypeScript file. */
  text: string;
  /** The sources and actions that the code of a TypeScript file makes, by target. */
  definitions?: Record<string, Definition>;
}

export interface ActionSource {
  kind: "action";
  file: string;
  raw: JsonObject;
  origin: Origin;
  problems: Problem[];
}

export interface CommandSource {
  kind: "command";
  file: string;
  raw: JsonObject;
  origin: Origin;
  problems: Problem[];
}

export interface FleetSource {
  kind: "fleet";
  file: string;
  raw: JsonObject;
  origin: Origin;
  problems: Problem[];
}

/** The version of a rule, a fleet or a module: a hash of the texts that it consists of. */
export function hashVersion(...texts: string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text);
  return hash.digest("hex").slice(0, 16);
}

/** The version of something that is plain data. */
export function versionOfData(data: unknown): string {
  return hashVersion(writeExactJson(data));
}

/** The rule id of a path: `ops/disk.yaml` → `ops/disk`. */
export function idOfPath(file: string): string {
  return file.replace(/\.[^./]+$/, "");
}

/** Files that have a meaning only at the top of the folder. */
const TOP_FILE = /\/(config(\.[^/]+)?|whenthen)\.ya?ml$/;

/**
 * Finds the kind of a file by its keys: a command has `command`, a fleet `devices`, a rule `when`. A file with `inputs` or `output`, or
 * with `then` and only keys of actions, is an action. Any other file counts as a rule, so that a rule that lost its `when` keeps
 * its last good version.
 */
export function sourceOfYaml(yaml: YamlFile): Source {
  const { origin: { file }, problems } = yaml;
  return guarded(file, () => readSource(yaml), (problem) => unreadable(file, [...problems, problem]));
}

function readSource({ value, origin, problems, text }: YamlFile): Source {
  const { file } = origin;
  if (value === undefined) return unreadable(file, problems);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const severity = value === null ? "warning" : "error";
    const message = value === null ? "this file is empty" : "expected a rule";
    const at = { line: 1, column: 1 };
    const problem: Problem = { severity, file, at, message, hint: "write when: and then: at the beginning of a line" };
    return { kind: value === null ? "helper" : "unreadable", file, problems: [...problems, problem] };
  }
  const common = { file, raw: value, origin, problems };
  if ("command" in value) return { kind: "command", ...common, problems: [...problems, ...otherKinds(value, origin)] };
  if ("devices" in value || wasFleet(value)) return { kind: "fleet", ...common };
  if (isAction(value)) return { kind: "action", ...common };
  if (TOP_FILE.test(file) && !("when" in value) && !("then" in value)) {
    const message = `${basename(file)} is read only at the top of the rules folder`;
    const hint = "move it there; its blocks are called by rule ids such as ops/disk";
    return unreadable(file, [{ severity: "error", file, at: { line: 1, column: 1 }, message, hint }]);
  }
  return { kind: "rule", ...common, text, id: idOf(value, file), idAt: origin.at(["id"], "value") };
}

/** Whether a file looks like a fleet with a misspelt `devices`: then its last good version stays in force. */
function wasFleet(value: JsonObject): boolean {
  const others = ["when", "then", "inputs", "output"];
  return ("device" in value || "ping" in value) && !others.some((key) => key in value);
}

function isAction(value: JsonObject): boolean {
  if ("when" in value) return false;
  if ("inputs" in value || "output" in value) return true;
  return "then" in value && Object.keys(value).every((key) => ACTION_KEYS.includes(key) || key.startsWith("x-"));
}

/** Reports keys of other kinds in a command file. */
function otherKinds(value: JsonObject, origin: Origin): Problem[] {
  return OTHER_KINDS.filter((key) => key in value).map((key) => ({
    severity: "error",
    file: origin.file,
    at: origin.at([key], "key"),
    message: `a file with "command" is a command, so it has no "${key}"`,
    hint: "make a file of its own for the rule, and call the command there",
  }));
}

/** A rule whose file was read before. */
export function sourceOfKnown({ value, origin, text }: YamlFile, idAt: Position): RuleSource {
  const { file } = origin;
  const raw = value as JsonObject;
  return { kind: "rule", file, raw, origin, problems: [], text, id: idOf(raw, file), idAt };
}

/** A TypeScript file without a rule is a helper. */
export function sourceOfTypeScript(file: string, loaded: LoadedTypeScript): Source {
  const otherwise = (problem: Problem) => unreadable(file, [problem, ...loaded.warnings]);
  return guarded(file, () => readBundled(file, loaded), otherwise);
}

function readBundled(file: string, loaded: LoadedTypeScript): Source {
  const { warnings } = loaded;
  if (loaded.kind === "problems") return unreadable(file, [...loaded.problems, ...warnings]);
  if (loaded.kind === "helper") return { kind: "helper", file, problems: warnings };
  const { declaration, code, at } = loaded;
  const definitions = Object.entries(loaded.definitions ?? {}).filter(([name]) => name.startsWith("#"));
  return {
    kind: "rule",
    file,
    id: idOf(declaration, file),
    idAt: at,
    raw: declaration,
    // Evaluation loses the positions of values in the source. They take time to find, and only problems need them.
    origin: { file, language: "typescript", at: () => at, within: () => at },
    exactOrigin: () => new TypeScriptOrigin(file, code, at),
    problems: warnings,
    text: code,
    ...definitions.length > 0 && { definitions: Object.fromEntries(definitions) },
  };
}

function unreadable(file: string, problems: Problem[]): Source {
  return { kind: "unreadable", file, problems };
}

function idOf(raw: JsonObject, file: string): string {
  return typeof raw.id === "string" && raw.id !== "" ? raw.id : idOfPath(file);
}
