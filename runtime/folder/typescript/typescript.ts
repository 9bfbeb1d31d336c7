import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import { listKnown } from "../../language/hints.ts";
import { compile } from "../../language/expressions/expression.ts";
import { readFields } from "../../language/fields/read_fields.ts";
import { parseDuration } from "../../model/duration.ts";
import { messageOf } from "../../model/errors.ts";
import type { JsonObject } from "../../model/json.ts";
import type { Position, Problem } from "../../model/problem.ts";
import type { Definition } from "../../model/rule.ts";
import { PROTOCOL_KEY } from "../../sdk/protocol.ts";
import {
  type Declaration,
  type Described,
  type Description,
  InterruptedError,
  type Isolates,
  RuleCodeError,
} from "../../workers/workers.ts";
import { bundle, type Esbuild, esbuild, readLine } from "./typescript_bundle.ts";

/**
 * The result of loading one TypeScript file. `inputs` are the files that its bundle consists of, absolute: they are
 * watched.
 */
export type LoadedTypeScript =
  & { inputs: string[]; warnings: Problem[]; packages?: Record<string, string> }
  & (
    /** `at` is the `rule(` call, where a wrong declaration is reported; `sourceLine` is its line. */
    | { kind: "rule"; declaration: Declaration; code: string; exports: string[]; at: Position; sourceLine: string }
      & Defining
    | { kind: "helper"; code: string; exports: string[] } & Defining
    | { kind: "problems"; problems: Problem[] }
  );

/** The sources and actions of a module: by the names of exports, and by targets. */
interface Defining {
  definitions?: Record<string, Definition>;
}

export interface LoadTypeScriptOptions {
  /** The rules folder, absolute. */
  folder: string;
  /** The file, absolute or relative to the folder. */
  file: string;
  isolates: Pick<Isolates, "describe">;
  /** Declarations are cached here by content hash, e.g. `<data>/cache`; the single binary also unpacks files here. */
  cacheFolder: string;
}

/**
 * Bundles a TypeScript file and reads its declaration: a rule, or the exports of a helper. Problems of the file are
 * returned; it throws only if the file cannot be read or the program stops.
 */
export async function loadTypeScript(options: LoadTypeScriptOptions): Promise<LoadedTypeScript> {
  const { folder } = options;
  const path = isAbsolute(options.file) ? relative(folder, options.file) : options.file;
  const file = path.split(sep).join("/");
  let bundler: Esbuild;
  try {
    bundler = await esbuild(options.cacheFolder);
  } catch (error) {
    const problems = [await problemOf(error, file, folder)];
    return { kind: "problems", problems, inputs: [resolve(folder, file)], warnings: [] };
  }
  const { code, inputs, problems, packages } = await bundle(file, folder, bundler);
  const warnings = problems.filter((problem) => problem.severity === "warning");
  if (problems.length > warnings.length) return { kind: "problems", problems, inputs, warnings };
  try {
    const { exports, rule, unexported, definitions: described } = await describe(options, file, code);
    const { definitions, problems } = readDefinitions(described, file);
    if (problems.length > 0) return { kind: "problems", problems: [...problems, ...warnings], inputs, warnings };
    const of = {
      ...definitions && { definitions },
      ...Object.keys(packages).length > 0 && { packages },
    };
    if (unexported) warnings.push(await unexportedRule(resolve(folder, file), file, unexported));
    if (!rule) return { kind: "helper", code, exports, inputs, warnings, ...of };
    const { at, sourceLine } = await ruleCall(resolve(folder, file), rule.at?.file === file ? rule.at : undefined);
    return { kind: "rule", declaration: rule.declaration, code, exports, at, sourceLine, inputs, warnings, ...of };
  } catch (error) {
    if (error instanceof InterruptedError) throw error;
    return {
      kind: "problems",
      problems: [await problemOf(error, file, folder), ...warnings],
      inputs,
      warnings,
    };
  }
}

async function describe(options: LoadTypeScriptOptions, file: string, code: string): Promise<Description> {
  const version = contentHash(code);
  const cached = await readCached(options.cacheFolder, version);
  if (cached) return cached;
  const description = await options.isolates.describe({ version, file, code });
  // The cache only saves time: a full disk must not break a good rule.
  await writeCached(options.cacheFolder, version, description).catch(() => {});
  return description;
}

async function unexportedRule(path: string, file: string, near: Position): Promise<Problem> {
  return {
    severity: "warning",
    file,
    ...await ruleCall(path, near),
    message: "this rule does not run: only the default export of a file is a rule",
    hint: "write export default rule({ … }), each rule in a file of its own",
  };
}

/** The `rule(` call. Hosts differ in which part of a call they point at, so its name is looked up in the line. */
async function ruleCall(path: string, near: Position | undefined): Promise<{ at: Position; sourceLine: string }> {
  const { line, column } = near ?? { line: 1, column: 1 };
  const sourceLine = await readLine(path, line) ?? "";
  const calls = [...sourceLine.matchAll(/\brule\b/g)].map((match) => match.index + 1);
  const nearest = calls.sort((a, b) => Math.abs(a - column) - Math.abs(b - column))[0];
  return { at: nearest === undefined ? { line, column } : { line, column: nearest, length: 4 }, sourceLine };
}

/** The problem for an error that evaluating the module threw. */
async function problemOf(error: unknown, file: string, folder: string): Promise<Problem> {
  const place = error instanceof RuleCodeError ? error.at : undefined;
  const { line, column } = place ?? { line: 1, column: 1 };
  const sourceLine = await readLine(resolve(folder, place?.file ?? file), line);
  const message = `cannot be loaded: ${messageOf(error)}`;
  return {
    severity: "error",
    file: place?.file ?? file,
    at: { line, column },
    message,
    ...(sourceLine !== undefined && { sourceLine }),
  };
}

/** Raised when the descriptions of unchanged code change. */
const FORMAT = "3";
const KEEP = 500;

/** The name under which a bundle's description is kept. */
function contentHash(code: string): string {
  return createHash("sha256").update(`${PROTOCOL_KEY} ${FORMAT}\n${code}`).digest("hex").slice(0, 32);
}

/** The cached description of the code, or undefined. A damaged entry counts as absent. */
async function readCached(folder: string, hash: string): Promise<Description | undefined> {
  try {
    return readExactJson(await readFile(join(folder, `${hash}.json`), "utf8")) as Description;
  } catch {
    return undefined;
  }
}

/** Keeps a description. By rename, so that another process never reads half of it; the oldest beyond 500 are removed. */
async function writeCached(folder: string, hash: string, description: Description): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `${hash}.${randomUUID()}.tmp`);
  await writeFile(temporary, writeRecordJson(description), { mode: 0o600 });
  await rename(temporary, join(folder, `${hash}.json`));
  await prune(folder);
}

async function prune(folder: string): Promise<void> {
  // Other files in this folder are not ours: in the single binary, its unpacked files.
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  if (names.length <= KEEP) return;
  // Another process may be pruning, too: a file that it has removed sorts first and is removed in vain.
  const age = async (name: string) => (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs ?? 0;
  const aged = await Promise.all(names.map(async (name) => ({ name, at: await age(name) })));
  const oldest = aged.sort((a, b) => a.at - b.at).slice(0, names.length - KEEP / 2);
  await Promise.all(oldest.map(({ name }) => rm(join(folder, name), { force: true })));
}

/** Reads what a module's sources and actions declare; problems have the position of the file's first character. */
function readDefinitions(
  described: Record<string, Described> | undefined,
  file: string,
): { definitions?: Record<string, Definition>; problems: Problem[] } {
  if (described === undefined) return { problems: [] };
  const definitions: Record<string, Definition> = {};
  const messages = new Set<string>();
  for (const [name, { inputs, tasks, ...rest }] of Object.entries(described)) {
    const read = readFields(inputs);
    definitions[name] = { ...rest, inputs: read.fields };
    if (tasks !== undefined) definitions[name].tasks = readTasks(tasks, messages);
    const of = `the ${rest.kind} ${name.replace(/^#.*#/, "")}`;
    for (const { path, message } of read.problems) messages.add(`${of}: inputs.${path.join(".")}: ${message}`);
    for (const message of faultsOf(rest)) messages.add(`${of}: ${message}`);
  }
  const at = { line: 1, column: 1 };
  const problems = [...messages].map((message): Problem => ({ severity: "error", file, at, message }));
  return { definitions, problems };
}

/** The tasks of a platform; `messages` receives their problems. */
function readTasks(
  tasks: Record<string, JsonObject>,
  messages: Set<string>,
): NonNullable<Definition["tasks"]> {
  return Object.fromEntries(
    Object.entries(tasks).map(([name, { inputs = {}, title, help, max, timeout }]) => {
      const read = readFields(inputs);
      for (const { path, message } of read.problems) {
        messages.add(`the task ${name}: ${["inputs", ...path].join(".")}: ${message}`);
      }
      const wrong = (key: string, expected: string, value: unknown) =>
        messages.add(`the task ${name}: ${key}: expected ${expected}, got ${JSON.stringify(value)}`);
      const ms = typeof timeout === "string" ? parseDuration(timeout) : undefined;
      if (timeout !== undefined && ms === undefined) wrong("timeout", 'a duration such as "30s"', timeout);
      const isCount = typeof max === "number" && Number.isInteger(max) && max > 0;
      if (max !== undefined && !isCount) wrong("max", "a whole number from 1", max);
      if (!/^[A-Za-z_][\w-]*$/.test(name)) {
        messages.add(`${JSON.stringify(name)} is no name for a task: use letters, digits, _ and -`);
      }
      return [name, {
        inputs: read.fields,
        ...typeof title === "string" && { title },
        ...typeof help === "string" && { help },
        ...isCount && { max },
        ...ms !== undefined && { timeout: ms },
      }];
    }),
  );
}

function faultsOf({ kind, key, at, max, ignore, methods }: Omit<Definition, "inputs">): string[] {
  const faults: string[] = [];
  for (const [name, text] of Object.entries({ key, at })) {
    if (text === undefined) continue;
    const { problem, references } = compile(String(text));
    const foreign = references.find(({ path: [root] }) => root !== "item" && root !== "index");
    if (problem !== undefined) faults.push(`${name}: bad expression: ${problem.message}`);
    else if (foreign !== undefined) faults.push(`${name}: unknown name "${foreign.path[0]}"; ${listKnown(["item"])}`);
  }
  if (max !== undefined && !(Number.isInteger(max) && max > 0)) faults.push(`max: expected a whole number, got ${max}`);
  if (ignore !== undefined && !(Array.isArray(ignore) && ignore.every((path) => typeof path === "string"))) {
    faults.push("ignore: expected a list of paths such as modified_at");
  }
  const reads = methods.filter((method) => method === "read" || method === "listen");
  if (kind === "action" && !methods.includes("run")) faults.push("an action needs a function run");
  if (kind === "source" && reads.length !== 1) {
    faults.push(
      reads.length === 0 ? "a source needs a function read, or listen" : "a source has read or listen, not both",
    );
  }
  return faults;
}
