import { dirname, posix, relative, resolve, sep } from "node:path";
import type { CommandTest } from "../commands/command_tests.ts";
import { checkSet, secretInArgv } from "../commands/check_set.ts";
import type { Origin } from "../language/checker/checking.ts";
import { compile } from "../language/expressions/expression.ts";
import { templatesIn } from "../language/expressions/check_expression.ts";
import {
  checkLiterals,
  type FieldProblem,
  type GivenValues,
  isPlainlyMissing,
  mayChange,
  readWritten,
  sayProblem,
} from "../language/fields/check_values.ts";
import { didYouMean, listKnown } from "../language/hints.ts";
import type { Fleet } from "../model/fleet.ts";
import type { Problem } from "../model/problem.ts";
import type { CalledAction, Command, Definition, Field } from "../model/rule.ts";
import { definitionKey, isModule, isPackage, specifierOf, type Target } from "../model/target.ts";
import { type Call, calleeOf } from "./calls.ts";
import type { LoadedTypeScript } from "./typescript/typescript.ts";

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
  /** The code of the modules that are loaded, by path. */
  modules: Record<string, string>;
  /** The sources and actions of those modules, by {@link definitionKey}. */
  definitions: Record<string, Definition>;
  problems: Problem[];
  /** A module is not ready yet. */
  late: boolean;
}

/**
 * Follows the calls of a rule or an action through all actions. Reports targets that cannot be called, and values that
 * do not fit the inputs of the target.
 * @param origin the positions in the file; without them the values are not checked
 */
export function follow(file: string, calls: Call[], callables: Callables, origin?: Origin): Called {
  const called: Called = { actions: {}, commands: {}, modules: {}, definitions: {}, problems: [], late: false };
  const seen = new Set<string>();
  const visit = (caller: string, list: Call[]) => {
    for (const call of list) {
      const callee = { ...call, ...calleeOf(callables.folder, caller, call.target) };
      // Only the calls of the file itself are reported with it; those of an action are reported with the action.
      const isOwn = caller === file;
      const report = (message: string, hint?: string) => {
        if (!isOwn || call.guessed) return;
        called.problems.push({ severity: "error", file, at: call.at, message, ...(hint && { hint }) });
      };
      const check = addCallee(called, callables, caller, callee, report);
      if (isOwn && origin !== undefined) called.problems.push(...check?.(origin) ?? []);
      const { path } = callee;
      if (!Object.hasOwn(called.actions, path) || seen.has(path)) continue;
      seen.add(path);
      visit(path, callables.actions.get(path)!.calls);
    }
  };
  visit(file, calls);
  return called;
}

type Report = (message: string, hint?: string) => void;

/** Adds the callee of a call. @returns the check of the passed values; undefined if there is nothing to check */
function addCallee(
  called: Called,
  callables: Callables,
  caller: string,
  call: Call & Target,
  report: Report,
): ((origin: Origin) => Problem[]) | undefined {
  const { path } = call;
  if (path === "" || isModule(path)) {
    const definition = path === ""
      ? ownDefinition(callables.modules.get(caller), call, report)
      : addModule(called, callables, caller, call, report);
    return definition && ((origin) => checkUse(definition, call, origin));
  }
  if (callables.commands.has(path)) {
    addCommand(called, callables, call, report);
    return (origin) => checkSetOf(called, call, origin);
  }
  if (!addAction(called, callables, caller, call, report)) return undefined;
  if (call.given?.path.at(-1) === "poll") {
    report(`${call.target} is an action, whose steps a poll cannot execute`, "poll a function, a source or a command");
  }
  return (origin) => checkGiven(called, call, origin);
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

/** The source or action in the rule's own code that a call names. */
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

/** Adds the module of a target. @returns its definition; undefined if it is a plain function or cannot be called */
function addModule(
  called: Called,
  { folder, modules }: Callables,
  caller: string,
  { target, ...callee }: Call & Target,
  report: Report,
): Definition | undefined {
  const { path, name } = callee;
  const module = modules.get(path);
  const file = isPackage(path) ? specifierOf(path) : target.split("#")[0];
  if (module === undefined) called.late = true;
  else if (module === "absent") {
    const present = [...modules].filter(([, each]) => each !== "absent").map(([each]) => each);
    report(`${file} does not exist`, suggest(folder, caller, path, present));
  } else if (module.kind === "problems") reportBroken(path, file, module, report);
  else if (name === undefined || !module.exports.includes(name)) {
    const exported = module.exports.filter((each) => each !== "default").join(", ");
    report(`${file} exports no "${name}"`, exported === "" ? "it exports nothing" : `it exports: ${exported}`);
  } else {
    called.modules[path] = module.code;
    const definition = module.definitions?.[name];
    if (definition !== undefined) called.definitions[definitionKey(callee)] = definition;
    return definition;
  }
  return undefined;
}

/** Reports a module that does not load: problems of a file are reported in full with that file, those of a package at each call. */
function reportBroken(
  path: string,
  file: string,
  { problems: [first] }: Extract<LoadedTypeScript, { kind: "problems" }>,
  report: Report,
): void {
  if (!isPackage(path) || first === undefined) return report(`${file} does not load`, "fix its problems first");
  const isMissing = /^cannot find the package/.test(first.message);
  if (!isMissing) return report(`the package ${file} does not load: ${first.message}`, first.hint);
  report(first.message, `type ${first.hint} in the rules folder; nothing is installed by itself`);
}

/** Checks a call of a source or an action: its place in the rule, and the values passed to it. */
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

/** Explains why a definition cannot be called at a place; undefined if it can. */
function misuse({ kind, methods }: Definition, isPolled: boolean): [message: string, hint: string] | undefined {
  if (kind === "device") return ["this is a platform of devices", "name it under device: in a file with devices:"];
  if (kind === "action" && isPolled) return ["this is an action, which a step calls", "poll a source"];
  if (kind === "source" && !isPolled) return ["this is a source, which a poll reads", "write it under when: poll:"];
  if (kind === "source" && !methods.includes("read") && !methods.includes("listen")) {
    return ["this source has neither read nor listen", "poll another one"];
  }
  return undefined;
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

/** Finds values that the command does not accept, as far as this is known before templates are resolved. */
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

/** Finds values that do not fit the inputs of the action. */
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

/** Places problems of values at their positions in the calling entry. */
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
