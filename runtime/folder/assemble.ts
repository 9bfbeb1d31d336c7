import { taskRuleId } from "./task_rule.ts";
import { isDeepStrictEqual } from "node:util";
import { task as taskStep } from "../actions/task.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { type CheckedRule, NEEDS_WHEN } from "../language/checker/check_rule.ts";
import type { Origin } from "../language/checker/checking.ts";
import { stepsIn } from "../language/expressions/check_expression.ts";
import { checkLiterals, sayProblem } from "../language/fields/check_values.ts";
import { hintAtUnknown } from "../language/hints.ts";
import { resolvedArgs } from "../language/kind.ts";
import { guarded, isError, type Problem } from "../model/problem.ts";
import type { CalledAction, Rule } from "../model/rule.ts";
import { hookOf } from "../triggers/webhook.ts";
import { calleeOf } from "./calls.ts";
import { type Callables, type Called, findCycles, follow } from "./follow_calls.ts";
import type { RuleCheck } from "./checks.ts";
import { hashVersion, idOfPath, type RuleSource } from "./source_file.ts";

/** A checked rule file and its source. */
export interface Candidate {
  source: RuleSource;
  check: RuleCheck;
}

/**
 * Warns about actions of the folder that nothing calls: they never run. Targets that code computes are unknown, so an
 * action that only such code calls gets the warning, too.
 */
export function findUncalled(candidates: Candidate[], { folder, actions }: Callables): Problem[] {
  const callers = [
    ...candidates.map(({ source: { file }, check: { calls } }) => ({ file, calls })),
    ...[...actions].map(([file, { calls }]) => ({ file, calls })),
  ];
  const called = new Set(
    callers.flatMap(({ file, calls }) => calls.map(({ target }) => calleeOf(folder, file, target).path)),
  );
  return [...actions].flatMap(([file, { action, origin }]): Problem[] => {
    if (action === undefined || origin === undefined || called.has(file) || file.startsWith("../")) return [];
    const message = "nothing calls this action, so it never runs";
    return [{ severity: "warning", file, at: origin.at(["then"], "key"), message, hint: NEEDS_WHEN }];
  });
}

/** Most rules call nothing. */
const NOTHING: Called = { actions: {}, commands: {}, modules: {}, definitions: {}, problems: [], late: false };

/** Finished rules by their checked form, so that an unchanged rule stays the same object. */
export type FinishedRules = WeakMap<CheckedRule, Rule>;

/**
 * Drops actions that call themselves or something that cannot be called, and then the actions that call those.
 * @returns the problems of the actions
 */
export function settleActions(callables: Callables): Problem[] {
  const problems = findCycles(callables);
  for (const { file } of problems) delete callables.actions.get(file)!.action;
  const reported = new Set(problems.map(({ file }) => file));
  for (let changed = true; changed;) {
    changed = false;
    for (const [file, action] of callables.actions) {
      if (reported.has(file)) continue;
      const called = follow(file, action.calls, callables, action.origin);
      if (called.problems.length === 0) continue;
      problems.push(...called.problems);
      reported.add(file);
      delete action.action;
      changed = true;
    }
  }
  return problems;
}

/**
 * Makes rules of checked files: follows their calls, checks across files, and keeps the last good version of a rule that
 * does not load.
 * @param broken rule files that could not even be checked, with their ids; also `late`
 */
export function assemble(
  candidates: Candidate[],
  unready: Pick<Assembly, "broken" | "late">,
  callables: Callables,
  previous: ReadonlyMap<string, Rule>,
  finished: FinishedRules,
): Assembly {
  const assembly: Assembly = { rules: new Map(), broken: unready.broken, late: unready.late, problems: [] };
  const good: Rule[] = [];
  const claims: Claim[] = [
    ...candidates.map(({ source: { id, file, idAt } }) => ({ id, file, at: idAt, kind: "rule" })),
    ...claimsOf(callables.actions, "action"),
    ...claimsOf(callables.commands, "command"),
    ...[...callables.fleets.values()].map(({ id, file, at }) => ({ id, file, at, kind: "fleet" })),
  ];
  const shared = [...findSharedIds(claims), ...findTaskIds(claims)];
  assembly.problems.push(...shared);
  for (const { source, check } of candidates) {
    const called = check.calls.length === 0 ? NOTHING : follow(source.file, check.calls, callables, source.origin);
    const tasks = check.rule ? taskProblems(check.rule, source, callables) : [];
    assembly.problems.push(...called.problems, ...tasks);
    const rule = check.rule && !shared.some(({ file }) => file === source.file) ? check.rule : undefined;
    if (!rule || called.problems.some(isError) || tasks.length > 0) assembly.broken.set(source.file, source.id);
    else if (called.late) assembly.late.set(source.file, source.id);
    else {
      const made = guarded(source.file, () => finish(rule, source, called, finished), (problem) => {
        assembly.problems.push(problem);
        assembly.broken.set(source.file, source.id);
        return undefined;
      });
      if (made) good.push(made);
    }
  }
  for (const rule of good) assembly.rules.set(rule.id, rule);
  keepLastGood(assembly, previous);
  separateWebhooks(assembly, previous);
  return assembly;
}

/** Finds tasks that do not exist and inputs that do not fit them, as far as this is known before templates are resolved. */
export function taskProblems(
  part: CheckedRule | CalledAction,
  { file }: { file: string },
  callables: Callables,
): Problem[] {
  return stepsIn(part).filter(({ kind }) => kind === "task").flatMap(({ args, at, written }) => {
    const { fleet: id, task: name, with: values = {} } = resolvedArgs(taskStep, args);
    const error = (message: string, hint: string): Problem => ({ severity: "error", file, at, message, hint });
    const fleet = callables.fleets.get(id);
    if (fleet === undefined && callables.others.has(`${id}.yaml`)) {
      return [error(`${id}.yaml is no fleet that loads`, "fix its problems first, or add devices: to it")];
    }
    if (fleet === undefined) {
      return [error(`there is no fleet "${id}"`, hintAtUnknown(id, [...callables.fleets.keys()].sort()))];
    }
    const task = Object.hasOwn(fleet.tasks, name) ? fleet.tasks[name] : undefined;
    if (task === undefined) {
      return [error(`${id} has no task "${name}"`, hintAtUnknown(name, Object.keys(fleet.tasks).sort()))];
    }
    return checkLiterals(task.inputs, { values, ...written && { written } }).map((problem) => {
      const { message, hint } = problem;
      return error(sayProblem({ ...problem, message }), hint ?? `the inputs of ${name} are in ${fleet.file}`);
    });
  });
}

/** Adds what a rule calls, and its version: a hash of its text and all its parts. */
function finish(checked: CheckedRule, source: RuleSource, called: Called, finished: FinishedRules): Rule {
  const known = finished.get(checked);
  const { actions, commands, modules } = called;
  const definitions = { ...source.definitions, ...called.definitions };
  const alone = [actions, commands, modules, definitions].every((each) => Object.keys(each).length === 0);
  if (known && alone) return known;
  const own = source.origin.language === "typescript" ? { "": source.text } : undefined;
  const whole = {
    ...checked,
    actions,
    ...Object.keys(commands).length > 0 && { commands },
    ...Object.keys(definitions).length > 0 && { definitions },
    modules: { ...own, ...modules },
  };
  const version = hashVersion(source.text, writeExactJson(whole));
  const rule: Rule = known?.version === version ? known : { ...whole, version };
  finished.set(checked, rule);
  return rule;
}

/** A file with the id that it uses. */
interface Claim {
  id: string;
  file: string;
  at: Problem["at"];
  kind: string;
}

function claimsOf(files: ReadonlyMap<string, { origin?: Origin }>, kind: string): Claim[] {
  const own = [...files].filter(([file, { origin }]) => origin !== undefined && !file.startsWith("../"));
  return own.map(([file]) => ({ id: idOfPath(file), file, at: { line: 1, column: 1 }, kind }));
}

/**
 * Finds files with the same id: rules, actions, commands and fleets share one namespace. None of these files loads, because it is
 * unknown which runs and cursors belong to which.
 */
function findSharedIds(claims: Claim[]): Problem[] {
  const byId = Map.groupBy(claims, ({ id }) => id);
  return [...byId.values()].filter((group) => group.length > 1).flatMap((group) =>
    group.map(({ id, file, at, kind }): Problem => {
      const others = group.filter((claim) => claim.file !== file).map((claim) => claim.file).join(", ");
      return {
        severity: "error",
        file,
        at,
        message: `the ${kind} id "${id}" is also that of ${others}`,
        hint: kind === "rule"
          ? "rename one of the files, or give one an id of its own with id:"
          : "rename one of the files: rules, actions, commands and fleets share their ids",
      };
    })
  );
}

/** Finds ids that belong to the tasks of a fleet, such as `plant/plc:reboot`: see `task_rule.ts`. */
function findTaskIds(claims: Claim[]): Problem[] {
  const fleets = new Set(claims.filter(({ kind }) => kind === "fleet").map(({ id }) => taskRuleId(id, "")));
  const taken = claims.filter(({ id }) => fleets.has(id.slice(0, id.lastIndexOf(":") + 1)));
  return taken.map(({ id, kind, file, at }): Problem => ({
    severity: "error",
    file,
    at,
    message: `the ${kind} id "${id}" is kept for a task of the fleet ${id.slice(0, id.lastIndexOf(":"))}`,
    hint: "rename the file, or use another id: without a colon",
  }));
}

/** The rules of a folder so far: those in force, and the ids of files that do not load or are not ready yet. */
interface Assembly {
  rules: Map<string, Rule>;
  broken: Map<string, string>;
  late: Map<string, string>;
  problems: Problem[];
}

/** Keeps the last good version of each rule that does not load or is not ready yet. */
function keepLastGood({ rules, broken, late }: Assembly, previous: ReadonlyMap<string, Rule>): void {
  for (const id of [...broken.values(), ...late.values()]) {
    const last = previous.get(id);
    if (last && !rules.has(id)) rules.set(id, last);
  }
}

/**
 * Replaces rules whose webhooks conflict in their `auth` by their last good versions. Such a version may conflict with
 * others in turn, so this repeats until no conflict is left.
 */
function separateWebhooks(assembly: Assembly, previous: ReadonlyMap<string, Rule>): void {
  const { rules, broken, problems } = assembly;
  for (;;) {
    const conflicts = findAuthConflicts(rules.values());
    const files = new Set(conflicts.map(({ file }) => file));
    const fresh = [...rules.values()].filter((rule) => files.has(rule.file) && !broken.has(rule.file));
    if (fresh.length === 0) return;
    problems.push(...conflicts.filter(({ file }) => fresh.some((rule) => rule.file === file)));
    for (const rule of fresh) {
      rules.delete(rule.id);
      broken.set(rule.file, rule.id);
    }
    keepLastGood(assembly, previous);
  }
}

/** Finds webhook paths with different `auth`: a request could be both refused and accepted. */
function findAuthConflicts(rules: Iterable<Pick<Rule, "file" | "triggers">>): Problem[] {
  const hooks = [...rules].flatMap(({ file, triggers }) =>
    triggers.flatMap((trigger) => {
      const hook = hookOf(trigger);
      if (hook === undefined) return [];
      const { method = "POST", auth = null, secret = null } = hook;
      return { file, at: trigger.at, path: String(hook.webhook), methods: [method].flat(), auth: [auth, secret] };
    })
  );
  const problems: Problem[] = [];
  // Names of parameters do not distinguish paths: /price/:sku is /price/:id.
  for (const group of Map.groupBy(hooks, ({ path }) => path.replace(/:[^/]+/g, ":")).values()) {
    if (group.length === 1) continue;
    for (const hook of group) {
      const sharing = group.filter(({ methods }) => methods.some((method) => hook.methods.includes(method)));
      const other = sharing.find(({ auth }) => !isDeepStrictEqual(auth, hook.auth));
      if (!other) continue;
      problems.push({
        severity: "error",
        file: hook.file,
        at: hook.at,
        message: `the webhook ${hook.path} has another auth or secret in ${other.file}:${other.at.line}`,
        hint: "rules may share a path if auth and secret are equal; otherwise give each a path of its own",
      });
    }
  }
  return problems;
}
