import { dirname, posix, relative, resolve, sep } from "node:path";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Fleet } from "../model/fleet.ts";
import type { Position, Problem } from "../model/problem.ts";
import type { CalledAction, Command, Definition, Field } from "../model/rule.ts";
import { isModule, isTarget, readTarget, type Target } from "../model/target.ts";
import { checkSet, secretInArgv } from "../commands/check_set.ts";
import type { CommandTest } from "../commands/command_tests.ts";
import { compile } from "../language/expressions/expression.ts";
import { templatesIn } from "../language/expressions/names.ts";
import {
  checkLiterals,
  type FieldProblem,
  type GivenValues,
  isPlainlyMissing,
  mayChange,
  readWritten,
  sayProblem,
  writtenScalars,
} from "../language/fields/check_values.ts";
import { didYouMean, listKnown } from "../language/hints.ts";
import { addModule, misuse } from "./called_modules.ts";
import type { Origin } from "../language/checker/checking.ts";
import type { LoadedTypeScript } from "./typescript/typescript.ts";

/** One `call:`, or a step of TypeScript code that calls by a literal. */
export interface Call {
  /** As written: `./lib/tell.yaml`, `./read.ts#read`. */
  target: string;
  at: Position;
  /** True if the text was found in code and may be no target. */
  guessed?: boolean;
  /** The values passed, with the path of the calling entry; absent for code. */
  given?: GivenValues & {
    path: (string | number)[];
    /** The options that only a command has. */
    options: string[];
  };
}

/** A YAML action of the folder; it does not load if `action` is absent. */
export interface CallableAction {
  action?: CalledAction;
  /** The positions in its file. */
  origin?: Origin;
  calls: Call[];
}

/** A command file that was read; it does not load if `command` is absent. */
export interface LoadedCommand {
  command?: Command;
  tests: CommandTest[];
  origin: Origin;
  problems: Problem[];
  /** OTO's name for the executable; absent if it was not imported. */
  tag?: string;
  /** The JSON file under `import`, absolute. */
  imports?: string;
}

/** All that can be called, by path relative to the folder. */
export interface Callables {
  folder: string;
  actions: Map<string, CallableAction>;
  commands: ReadonlyMap<string, LoadedCommand>;
  /** The fleets that devices' tasks are sent to, by id. */
  fleets: ReadonlyMap<string, Fleet>;
  /** Undefined while it is still being evaluated. */
  modules: Map<string, LoadedTypeScript | "absent" | undefined>;
  /** Paths of rules and of files that are neither rules nor actions. */
  others: Set<string>;
}

/** What a rule calls, directly and through actions. */
export interface Called {
  actions: Record<string, CalledAction>;
  commands: Record<string, Command>;
  modules: Record<string, string>;
  /** The sources and actions of those modules. */
  definitions: Record<string, Definition>;
  problems: Problem[];
  /** A module is not ready yet. */
  late: boolean;
}

/** What a target names; targets are relative to the calling file. */
export function calleeOf(folder: string, caller: string, target: string): Target {
  return readTarget(folder, resolve(folder, dirname(caller)), target);
}

/** Targets that are literals in TypeScript code: its steps are unknown before it runs. */
export function callsInCode(code: string, at: Position): Call[] {
  const packages = code.matchAll(/\.call\([^()]*?,\s*(["'`])((?:@[\w.-]+\/)?[\w-][\w.-]*(?:\/[\w./-]+)?#[\w$]+)\1/g);
  const literals = code.matchAll(/(\.call\([^()]*?,\s*)?(["'`])(\.{1,2}\/[^"'`\n$]+\.(?:ya?ml|[cm]?[jt]s#[\w$]+))\2/g);
  return [
    ...[...literals].map(([, call, , target]) => ({ target, at, ...(call === undefined && { guessed: true }) })),
    ...[...packages].map(([, , target]) => ({ target, at })),
  ];
}

/** The keys of a rule or action that contain steps. */
const STEP_PLACES = new Set(["when", "then", "else", "notify", "onError", "onTimeout", "poll"]);

/** Targets in a raw file, even in one with errors, so that all problems are reported together. */
export function callsInRaw(raw: Json, origin: Origin, path: (string | number)[] = []): Call[] {
  if (Array.isArray(raw)) return raw.flatMap((item, index) => callsInRaw(item, origin, [...path, index]));
  if (typeof raw !== "object" || raw === null) return [];
  return Object.entries(raw).flatMap(([key, value]): Call[] => {
    const at = [...path, key];
    if (STEP_PLACES.has(key)) return callsInRaw(value, origin, at);
    if (key === "parallel") return callsInBranches(value, origin, at);
    if (key !== "call" || typeof value !== "string" || !isTarget(value)) return [];
    return [{ target: value, at: origin.at(at, "value"), given: givenIn(raw, path, origin) }];
  });
}

/** The values that an entry with `call` passes under `with`. */
function givenIn(entry: JsonObject, path: (string | number)[], origin: Origin): Call["given"] {
  const values = isObject(entry.with) ? entry.with as JsonObject : {};
  const written = writtenScalars(values, (below) => origin.written?.([...path, "with", ...below]));
  const options = Object.keys(entry).filter((key) => COMMAND_OPTIONS.includes(key));
  return { path, values, options, ...written && { written } };
}

/** Options of `call` that say how a program is run. */
const COMMAND_OPTIONS = ["stdin", "save", "format", "charset", "keep", "ok"];

/** Skips the names of branches, which may be anything. */
function callsInBranches(raw: Json, origin: Origin, path: (string | number)[]): Call[] {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return [];
  return Object.entries(raw).flatMap(([name, steps]) => callsInRaw(steps, origin, [...path, name]));
}

/** The calls of a checked file, each with the position of its target in the raw file, if it is found there. */
export function placeCalls(calls: Call[], raw: Call[]): Call[] {
  const places = Map.groupBy(raw, ({ target }) => target);
  return calls.map((call) => ({ ...call, ...places.get(call.target)?.shift() }));
}

/**
 * Follows the calls of a rule or an action through all actions. Reports targets that cannot be called, and values that
 * do not fit the inputs of the target.
 */
export function follow(file: string, calls: Call[], callables: Callables, origin?: Origin): Called {
  const called: Called = { actions: {}, commands: {}, modules: {}, definitions: {}, problems: [], late: false };
  const seen = new Set<string>();
  const visit = (caller: string, list: Call[]) => {
    for (const call of list) {
      const { path, name } = calleeOf(callables.folder, caller, call.target);
      // Only the calls of the file itself are reported with it; those of an action are reported with the action.
      const report = (message: string, hint?: string) => {
        if (caller !== file || call.guessed) return;
        called.problems.push({ severity: "error", file, at: call.at, message, ...(hint && { hint }) });
      };
      if (path === "" || isModule(path)) {
        const definition = path === ""
          ? ownDefinition(callables.modules.get(caller), call, report)
          : addCalledModule(called, callables, caller, { ...call, path, name }, report);
        if (definition === undefined || caller !== file || origin === undefined) continue;
        called.problems.push(...checkUse(definition, call, origin));
      } else if (callables.commands.has(path)) {
        addCommand(called, callables, { ...call, path }, report);
        if (caller === file && origin !== undefined) {
          called.problems.push(...checkSetOf(called, { ...call, path }, origin));
        }
      } else if (addAction(called, callables, caller, { ...call, path }, report)) {
        if (call.given?.path.at(-1) === "poll") {
          report(
            `${call.target} is an action, whose steps a poll cannot execute`,
            "poll a function, a source or a command",
          );
        }
        if (caller === file && origin !== undefined) {
          called.problems.push(...checkGiven(called, { ...call, path }, origin));
        }
        if (seen.has(path)) continue;
        seen.add(path);
        visit(path, callables.actions.get(path)!.calls);
      }
    }
  };
  visit(file, calls);
  return called;
}

type Report = (message: string, hint?: string) => void;

/** A source or an action in the rule's own code. */
function ownDefinition(
  module: LoadedTypeScript | "absent" | undefined,
  { target }: Call,
  report: Report,
): Definition | undefined {
  const own = module === undefined || module === "absent" || module.kind === "problems"
    ? undefined
    : module.definitions;
  if (own?.[target] === undefined) report(`there is no source or action ${target.slice(1)}`);
  return own?.[target];
}

function addCalledModule(
  called: Called,
  { folder, modules }: Callables,
  caller: string,
  call: Call & Target,
  report: Report,
): Definition | undefined {
  return addModule(called, modules.get(call.path), call, report, () => {
    const present = [...modules].filter(([, each]) => each !== "absent").map(([each]) => each);
    return suggest(folder, caller, call.path, present);
  });
}

/** The problems of a call of a source or an action: its place in the rule, and the values passed to it. */
function checkUse(definition: Definition, call: Call, origin: Origin): Problem[] {
  const { given, at } = call;
  if (given === undefined) return [];
  const wrong = misuse(definition, given.path.at(-1) === "poll");
  if (wrong !== undefined) {
    const [message, hint] = wrong;
    return [{ severity: "error", file: origin.file, at, message, hint }];
  }
  return problemsAt(checkLiterals(definition.inputs, given), { ...call, given }, origin);
}

function addAction(
  called: Called,
  { folder, actions, commands, others }: Callables,
  caller: string,
  { path, target }: Call & { path: string },
  report: Report,
): boolean {
  const callable = actions.get(path);
  if (callable?.action) {
    called.actions[path] = callable.action;
    return true;
  }
  if (callable) report(`${target} does not load`, "fix its problems first");
  else if (others.has(path)) report(`${target} is not an action`, "an action has inputs and then, and no when");
  else report(`${target} does not exist`, suggest(folder, caller, path, [...actions.keys(), ...commands.keys()]));
  return false;
}

function addCommand(
  called: Called,
  { commands }: Callables,
  { path, target }: Call & { path: string },
  report: Report,
): void {
  const { command } = commands.get(path)!;
  if (command) called.commands[path] = command;
  else report(`${target} does not load`, "fix its problems first");
}

/** Values of an entry that the command does not accept, as far as this is known before templates are resolved. */
function checkSetOf({ commands }: Called, call: Call & { path: string }, origin: Origin): Problem[] {
  const { given, path } = call;
  const command = commands[path];
  if (given === undefined || command === undefined) return [];
  const values = readWritten(command.inputs, given);
  const open = new Set(Object.keys(values).filter((name) => mayChange(values[name])));
  const { problems } = checkSet(command, Object.entries(values), { open });
  const secret = [...open].filter((name) => templatesIn(values[name]).some(readsSecret));
  return problemsAt([...problems, ...secret.map(secretInArgv)], { ...call, given }, origin);
}

function readsSecret(expression: string): boolean {
  return compile(expression).references.some(({ path: [root] }) => root === "secrets");
}

/** Cache of values that fit, with the inputs that they fit: a load checks only what has changed. */
const fitting = new WeakMap<GivenValues, Record<string, Field>>();

/** Values of an entry that do not fit the inputs of the action. */
function checkGiven({ actions }: Called, call: Call & { path: string }, origin: Origin): Problem[] {
  const { given, path } = call;
  const { inputs } = actions[path];
  if (given === undefined || fitting.get(given) === inputs) return [];
  const ofCommands = given.options.map((key): Problem => ({
    severity: "error",
    file: origin.file,
    at: origin.at([...given.path, key], "key"),
    message: `"${key}" means nothing for an action`,
    hint: "only a command has it",
  }));
  const problems = [...ofCommands, ...problemsAt(checkLiterals(inputs, given), { ...call, given }, origin)];
  if (problems.length === 0) fitting.set(given, inputs);
  return problems;
}

/** Problems of values, at their positions in the calling entry. */
function problemsAt(
  problems: FieldProblem[],
  { given, at }: Call & { given: NonNullable<Call["given"]> },
  origin: Origin,
): Problem[] {
  const { file } = origin;
  return problems.map((problem): Problem => {
    const { key, kind, message, hint } = problem;
    const place = Object.hasOwn(given.values, key)
      ? origin.at([...given.path, "with", key], kind === "unfit" ? "value" : "key")
      : Object.keys(given.values).length > 0
      ? origin.at([...given.path, "with"], "key")
      : at;
    const says = isPlainlyMissing(problem) ? sayProblem(problem) : message;
    return { severity: "error", file, at: place, message: says, ...hint !== undefined && { hint } };
  });
}

/** Suggests an existing target, written as the calling file needs it. */
function suggest(folder: string, caller: string, path: string, candidates: Iterable<string>): string {
  const paths = [...candidates].filter((candidate) => candidate !== path);
  const written = (target: string) => {
    const from = relative(resolve(folder, dirname(caller)), resolve(folder, target)).replaceAll(sep, posix.sep);
    return from.startsWith(".") ? from : `./${from}`;
  };
  const namesake = paths.find((each) => posix.basename(each) === posix.basename(path));
  const near = didYouMean(path, paths, written) ?? (namesake && didYouMean(namesake, [namesake], written));
  if (near !== undefined) return near;
  if (paths.length === 0) return "nothing in this folder can be called; targets are relative to the file they stand in";
  return listKnown(paths.slice(0, 10).map(written));
}

/** Reports each action that calls itself, directly or through others. */
export function findCycles({ folder, actions }: Callables): Problem[] {
  const problems: Problem[] = [];
  const pathTo = (from: string, goal: string, seen: Set<string>): string[] | undefined => {
    for (const { target } of actions.get(from)?.calls ?? []) {
      const { path } = calleeOf(folder, from, target);
      if (path === goal) return [goal];
      if (seen.has(path)) continue;
      seen.add(path);
      const rest = pathTo(path, goal, seen);
      if (rest) return [path, ...rest];
    }
    return undefined;
  };
  for (const [file, { calls }] of actions) {
    for (const { target, at } of calls) {
      const { path } = calleeOf(folder, file, target);
      const circle = path === file ? [] : pathTo(path, file, new Set());
      if (!circle) continue;
      const round = [file, path, ...circle].join(" → ");
      problems.push({
        severity: "error",
        file,
        at,
        message: `this action calls itself: ${round}`,
        hint: "break the circle",
      });
      break;
    }
  }
  return problems;
}
