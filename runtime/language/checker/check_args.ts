import { isError } from "../../model/problem.ts";
import { z } from "zod";
import { isObject, type JsonObject } from "../../model/json.ts";
import { compile, ExpressionError } from "../expressions/expression.ts";
import { checkExpression, type Visible } from "../expressions/check_expression.ts";
import { lookUp } from "../expressions/references.ts";
import { expressionsIn, mapArgs, parseTemplate, plainBraces, resolveKnown } from "../expressions/template.ts";
import { type FieldInfo, hasTemplate, SECRET_NAME } from "../arg_types.ts";
import { isEmail } from "../fields/field_value.ts";
import { fieldsAsWritten } from "../fields/read_fields.ts";
import { didYouMean, faultOfMethod, hintAtUnknown, listKnown } from "../hints.ts";
import type { Kind } from "../kind.ts";
import { checkHosts } from "./check_hosts.ts";
import type { Checking, Path } from "./checking.ts";
import { parseWith, type SchemaProblem } from "./sentences.ts";

interface ArgOptions {
  /** Whether to resolve config and environment now, as under `when`. */
  resolve: boolean;
  /** Keys that are not reported as missing, as they already have a problem. */
  excused: string[];
  /** Checks the step in a `source()`. */
  checkSource(source: Record<string, unknown>, path: Path): void;
}

/** Checks and parses the main argument and the options of one trigger or step; undefined if there is a problem. */
export function checkArgs(
  checking: Checking,
  path: Path,
  kind: Kind,
  raw: Record<string, unknown>,
  visible: Visible,
  options: ArgOptions,
): JsonObject | undefined {
  const before = checking.problems.length;
  const written = mapArgs(kind, raw, (info, value, below) => {
    checkLeaf(checking, [...path, ...below], info, value, visible, options);
    if (info?.is !== "fields" || !isObject(value)) return value;
    return fieldsAsWritten(value, checking.sourceBelow([...path, ...below]));
  });
  checkHosts(checking, path, kind, raw);
  const failed = () => checking.problems.slice(before).some(isError);
  const resolved = options.resolve && !failed() ? resolveForLoad(checking, path, kind, raw) : written;
  const { value, problems } = parseWith(schemaOf(kind), resolved);
  const isNew = (problem: SchemaProblem) => {
    const hasOne = failed() && hasTemplate(lookUp(raw, problem.path.map(String)));
    return !hasOne && !options.excused.includes(String(problem.path[0]));
  };
  checking.addAll(path, problems.filter(isNew));
  if (failed() || value === undefined) return undefined;
  checkByKind(checking, path, kind, raw, value);
  return failed() ? undefined : value;
}

/** Reports what the kind itself finds. */
function checkByKind(checking: Checking, path: Path, kind: Kind, raw: Record<string, unknown>, args: JsonObject): void {
  const { now } = checking.context;
  const wrongs = kind.check?.(args, now) ?? [];
  for (const message of wrongs) {
    const [wrong, remedy] = message.split("; ", 2);
    const [whole, option, about] = /^(\w+): (.*)$/.exec(wrong) ?? [];
    if (whole === undefined || !(option in raw)) checking.error([...path, kind.kind], "value", wrong, remedy);
    else checking.error([...path, option], "value", about, remedy);
  }
  if (wrongs.length > 0) return;
  for (const message of kind.warn?.(args, now) ?? []) {
    const [wrong, remedy] = message.split("; ", 2);
    checking.warn([...path, kind.kind], wrong, remedy);
  }
}

const schemas = new WeakMap<Kind, z.ZodType<JsonObject>>();

/** The schema of a kind's main argument and options together. What schemas of arguments give is JSON. */
function schemaOf(kind: Kind): z.ZodType<JsonObject> {
  let schema = schemas.get(kind);
  if (schema === undefined) {
    schema = z.strictObject({ [kind.kind]: kind.main, ...kind.options }) as z.ZodType<JsonObject>;
    schemas.set(kind, schema);
  }
  return schema;
}

/** Parses arguments from code at run time: without templates and positions. */
export function parseKindArgs(
  kind: Kind,
  raw: Record<string, unknown>,
): { args: JsonObject } | { problems: SchemaProblem[] } {
  const { value, problems } = parseWith(schemaOf(kind), raw);
  return value === undefined ? { problems } : { args: value };
}

function checkLeaf(
  checking: Checking,
  path: Path,
  info: FieldInfo | undefined,
  value: unknown,
  visible: Visible,
  options: ArgOptions,
): void {
  switch (info?.is) {
    case "expression":
      checkBare(checking, path, value, { ...visible, names: [...new Set([...visible.names, ...info.names ?? []])] });
      return;
    case "command": {
      const found = findShellExpression(value);
      if (found === undefined && typeof value === "string") return checkBraces(checking, path, value, inList);
      if (found === undefined) return checkTemplates(checking, path, value, visible);
      const message = "an expression inside a shell command: its value would run as code";
      checking.errorWithin([...path, ...found.path], found, message, found.hint);
      return;
    }
    case "secret":
      checkSecrets(checking, path, value);
      return;
    case "people":
      checkTemplates(checking, path, value, visible);
      checkPeople(checking, path, value);
      return;
    case "request":
      checkTemplates(checking, path, value, {
        ...visible,
        names: [...new Set([...visible.names, ...info.names ?? []])],
      });
      if (isObject(value)) checkMethod(checking, [...path, "http"], value.http);
      return;
    case "url":
      checkTemplates(checking, path, value, visible);
      checkMethod(checking, path, value);
      return;
    case "connection":
      checkConnection(checking, path, value);
      return;
    case "fields":
      checkLiteral(checking, path, value);
      return;
    case "target":
    case "branches":
      return;
    case "source":
      if (isObject(value)) options.checkSource(value, path);
      return;
    case undefined:
      checkPlain(checking, path, value, visible, options.resolve);
      return;
    case "duration":
    case "rate":
    case "size":
    case "number":
    case "boolean": {
      const before = checking.problems.length;
      checkTemplates(checking, path, value, visible);
      const isGood = checking.problems.slice(before).every(({ severity }) => severity === "warning");
      // Under `when` these are decided when the rule loads.
      if (options.resolve && isGood) checkPlain(checking, path, value, visible, true);
      return;
    }
    default:
      checkTemplates(checking, path, value, visible);
  }
}

/** Checks a field that is never resolved at run time: it can only use values that are known when the rule loads. */
function checkPlain(checking: Checking, path: Path, value: unknown, visible: Visible, resolve: boolean): void {
  checkBraces(checking, path, value);
  if (!hasTemplate(value)) return;
  const { parts } = parseTemplate(value);
  const names = expressionsIn(parts).flatMap(({ expression }) =>
    compile(expression).references.map(({ path }) => path[0])
  );
  if (resolve && names.every((name) => name === "config" || name === "env")) {
    checkTemplates(checking, path, value, visible);
  } else if (resolve) {
    checking.error(path, "value", "only config and env can be used here", "write the value itself, or ${{ config.x }}");
  } else checking.error(path, "value", "an expression is not allowed here", "write the value itself");
}

/** Checks an expression without `${{ }}`. */
export function checkBare(checking: Checking, path: Path, value: unknown, visible: Visible): void {
  if (typeof value !== "string") return;
  if (hasTemplate(value)) {
    const text = value.trim().replace(/^\$\{\{\s*(.*?)\s*\}\}$/s, "$1");
    checking.error(path, "value", "this is an expression already, so it takes no ${{ }}", `write ${text}`);
    return;
  }
  const [braces] = plainBraces(value);
  if (braces !== undefined) {
    const text = value.trim().replace(/^\{\{\s*(.*?)\s*\}\}$/s, "$1");
    checking.error(path, "value", "this is an expression already, so it takes no {{ }}", `write ${text}`);
    return;
  }
  checkExpression(checking, path, value, visible);
}

/** Checks all templates in a value, at any depth. */
export function checkTemplates(checking: Checking, path: Path, value: unknown, visible: Visible): void {
  if (Array.isArray(value)) value.forEach((item, index) => checkTemplates(checking, [...path, index], item, visible));
  else if (typeof value === "object" && value !== null) {
    for (const [key, part] of Object.entries(value)) checkTemplates(checking, [...path, key], part, visible);
  }
  checkBraces(checking, path, value);
  if (!hasTemplate(value)) return;
  const { parts, problem } = parseTemplate(value);
  if (problem) checking.errorWithin(path, problem, problem.message, problem.hint);
  for (const { expression, offset } of expressionsIn(parts)) {
    checkExpression(checking, path, expression, visible, offset);
  }
}

/** Warns about `{{ }}` without `$`. @param remedy what to write instead */
function checkBraces(
  checking: Checking,
  path: Path,
  value: unknown,
  remedy = (expression: string) => `write \${{ ${expression} }}`,
): void {
  if (typeof value !== "string") return;
  for (const { expression, offset, length } of plainBraces(value)) {
    const message = `${value.slice(offset, offset + length)} is plain text: an expression begins with \${{`;
    checking.warnWithin(path, { offset, length }, message, remedy(expression));
  }
}

const inList = (expression: string) => `write it as a list, run: [command, "\${{ ${expression} }}"]`;

/** Warns about an HTTP method that does not exist. */
function checkMethod(checking: Checking, path: Path, value: unknown): void {
  const fault = typeof value === "string" ? faultOfMethod(value) : undefined;
  if (fault === undefined) return;
  checking.warnWithin(path, { offset: 0, length: fault.method.length }, fault.message, fault.hint);
}

/** Warns about secrets that are missing or weak. What is no name is a problem of its own. */
export function checkSecrets(checking: Checking, path: Path, value: unknown): void {
  const names = Array.isArray(value) ? value : [value];
  for (const [index, name] of names.entries()) {
    if (typeof name !== "string" || !SECRET_NAME.test(name)) continue;
    const fault = checking.context.secretFault?.(name);
    if (fault === undefined) continue;
    const at = Array.isArray(value) ? [...path, index] : path;
    checking.warn(at, fault.message, fault.hint, fault.hidden);
  }
}

/** Checks that people, such as the recipients of a form, are known or are e-mail addresses. */
export function checkPeople(checking: Checking, path: Path, value: unknown): void {
  const { people } = checking.context;
  if (people === undefined) return;
  const names = Array.isArray(value) ? value : [value];
  for (const [index, name] of names.entries()) {
    if (typeof name !== "string" || hasTemplate(name) || isEmail(name) || people.includes(name)) continue;
    const hint = didYouMean(name, people) ??
      `add it under people: in whenthen.yaml, or write an e-mail address; ${listKnown(people)}`;
    checking.error(Array.isArray(value) ? [...path, index] : path, "value", `unknown person or group "${name}"`, hint);
  }
}

/** Checks that a connection exists, and is not named by a template: data must not decide which hosts get its token. */
function checkConnection(checking: Checking, path: Path, value: unknown): void {
  const { connections } = checking.context;
  checkLiteral(checking, path, value);
  if (connections === undefined || typeof value !== "string" || hasTemplate(value)) return;
  if (connections.includes(value)) return;
  const hint = connections.length === 0
    ? "add it under connections: in whenthen.yaml"
    : hintAtUnknown(value, connections);
  checking.error(path, "value", `unknown connection "${value}"`, hint);
}

/** Checks a value that must not contain templates. */
export function checkLiteral(checking: Checking, path: Path, value: unknown): void {
  if (typeof value === "object" && value !== null) {
    for (const [key, part] of Object.entries(value)) {
      checkLiteral(checking, [...path, Array.isArray(value) ? Number(key) : key], part);
    }
  } else if (hasTemplate(value)) {
    checking.error(path, "value", "an expression is not allowed here", "write the value itself");
  }
}

/** Resolves the values known when a rule loads: config and environment. */
function resolveForLoad(
  checking: Checking,
  path: Path,
  kind: Kind,
  raw: Record<string, unknown>,
): Record<string, unknown> {
  const { config = {}, env, now } = checking.context;
  try {
    return resolveKnown(kind, raw, ["config", "env"], { config, env, $now: now });
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    // If a value is missing because its field is not valid, the problem is reported there.
    if (error.missing?.startsWith("config.") && !checking.ok) return raw;
    checking.error([...path, kind.kind], "value", error.message);
    return raw;
  }
}

/** The position of an expression in code, and how to pass its value instead. */
export interface ShellExpression {
  path: number[];
  offset: number;
  length: number;
  hint: string;
}

const SHELLS = /^(?:.*[/\\])?(?:ba|z|da|k|a|fi|c|tc)?sh(?:\.exe)?$|^(?:.*[/\\])?(?:cmd|powershell|pwsh)(?:\.exe)?$/i;
const INTERPRETERS = /^(?:.*[/\\])?(?:python[\d.]*|node|nodejs|bun|perl|ruby|php|osascript)(?:\.exe)?$/i;
/** `-c`, `-lc`, `-ec`, `/c`, `-Command`; for interpreters also `-e`, `--eval`, `-r`, `-p`. */
const SHELL_CODE = /^-[a-z]*c$|^\/c$|^-command$/i;
const INTERPRETER_CODE = /^-[a-z]*[cepr]$|^--(?:eval|print)$/i;

/**
 * Finds an expression in a string for the shell, or in the code argument of `[sh, -c, "…"]` and similar commands: its result
 * would run as code.
 */
export function findShellExpression(command: unknown): ShellExpression | undefined {
  if (typeof command === "string") {
    return inText(command, [], 'write it as a list, run: [command, "${{ x }}"], or pass it by env: or stdin:');
  }
  if (!Array.isArray(command)) return undefined;
  for (const [index, part] of command.entries()) {
    const flag = index > 0 && typeof command[index - 1] === "string" ? command[index - 1] : "";
    const before = command.slice(0, Math.max(0, index - 1)).filter((word) => typeof word === "string");
    const isShell = SHELL_CODE.test(flag) && before.some((word) => SHELLS.test(word));
    const isCode = INTERPRETER_CODE.test(flag) && before.some((word) => INTERPRETERS.test(word));
    const hint = isShell
      ? 'pass it as an argument after the code, [sh, -c, \'echo "$1"\', sh, "${{ x }}"], or by env: or stdin:'
      : "pass it as an argument after the code, or by env: or stdin:";
    const found = isShell || isCode ? inText(part, [index], hint) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function inText(text: unknown, path: number[], hint: string): ShellExpression | undefined {
  if (typeof text !== "string" || !hasTemplate(text)) return undefined;
  const offset = text.indexOf("${{");
  const end = text.indexOf("}}", offset);
  return { path, offset, length: (end === -1 ? text.length : end + 2) - offset, hint };
}
