import { isDeepStrictEqual } from "node:util";
import type { JsonObject } from "../model/json.ts";
import type { Position, Problem } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";

/** The rules of a folder so far: those in force, those that do not load or are not there yet, with their files' ids. */
export interface Assembly {
  rules: Map<string, Rule>;
  broken: Map<string, string>;
  late: Map<string, string>;
  problems: Problem[];
}

/** Puts the last good version of a rule in the place of one that does not load, or is not there yet. */
export function keepLastGood({ rules, broken, late }: Assembly, previous: ReadonlyMap<string, Rule>): void {
  for (const id of [...broken.values(), ...late.values()]) {
    const last = previous.get(id);
    if (last && !rules.has(id)) rules.set(id, last);
  }
}

/**
 * Takes rules in conflict over a webhook's `auth` out, and puts their last good versions in their place. Such a version
 * may conflict with others in turn, so this repeats until no conflict is left.
 */
export function separateWebhooks(assembly: Assembly, previous: ReadonlyMap<string, Rule>): void {
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

/** The webhook beside a poll. */
function hookOf({ hook }: JsonObject, at: Position): { args: JsonObject; at: Position }[] {
  return hook === undefined ? [] : [{ args: hook as JsonObject, at }];
}

/** One webhook path with two kinds of `auth`: a request could be both refused and accepted. */
function findAuthConflicts(rules: Iterable<Pick<Rule, "file" | "triggers">>): Problem[] {
  const hooks = [...rules].flatMap(({ file, triggers }) =>
    triggers.flatMap(({ kind, args, at }) => kind === "webhook" ? { args, at } : hookOf(args, at)).map((
      { args, at },
    ) => ({
      file,
      at,
      path: String(args.webhook),
      // Names of parameters do not distinguish paths: /price/:sku is /price/:id.
      route: `${args.method ?? "POST"} ${String(args.webhook).replace(/:[^/]+/g, ":")}`,
      auth: [args.auth ?? null, args.secret ?? null],
    }))
  );
  const problems: Problem[] = [];
  for (const group of Map.groupBy(hooks, ({ route }) => route).values()) {
    if (group.length === 1) continue;
    for (const hook of group) {
      const other = group.find(({ auth }) => !isDeepStrictEqual(auth, hook.auth));
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
