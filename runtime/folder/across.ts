import { isDeepStrictEqual } from "node:util";
import type { Problem } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";

/** A rule file with the id that it uses. */
export interface Claim {
  id: string;
  file: string;
  at: Problem["at"];
}

/** Two files with one id: neither can be the rule, because it is unknown which runs and cursors belong to which. */
export function findSharedIds(claims: Claim[]): Problem[] {
  const byId = Map.groupBy(claims, ({ id }) => id);
  return [...byId.values()].filter((group) => group.length > 1).flatMap((group) =>
    group.map(({ id, file, at }): Problem => {
      const others = group.filter((claim) => claim.file !== file).map((claim) => claim.file).join(", ");
      return {
        severity: "error",
        file,
        at,
        message: `the rule id "${id}" is also that of ${others}`,
        hint: "rename one of the files, or give one an id of its own with id:",
      };
    })
  );
}

/** One webhook path with two kinds of `auth`: a request could be both refused and accepted. */
export function findAuthConflicts(rules: Iterable<Pick<Rule, "file" | "triggers">>): Problem[] {
  const hooks = [...rules].flatMap(({ file, triggers }) =>
    triggers.filter(({ kind }) => kind === "webhook").map(({ args, at }) => ({
      file,
      at,
      path: String(args.webhook),
      // Names of parameters do not distinguish paths: /price/:sku is /price/:id.
      route: `${args.method} ${String(args.webhook).replace(/:[^/]+/g, ":")}`,
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
