import { createHash } from "node:crypto";
import { fieldsOf } from "../folder/checks.ts";
import type { RuleSource } from "../folder/source.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { formatProblem } from "../model/problem.ts";
import type { Rule } from "../model/rule.ts";
import type { TestWorld } from "../model/test.ts";
import { checkRule, type RuleFound } from "../language/checker/check.ts";
import type { Kinds } from "../language/kind.ts";
import { Secrets } from "../secrets/secrets.ts";
import { secretNames } from "../language/expressions/used_names.ts";
import { madeUpSecret } from "./sign.ts";
import { TestFailed } from "./test_failed.ts";

/** A loaded rule, and the file that it was read from. */
export interface LoadedRule {
  rule: Rule;
  source: RuleSource;
}

/**
 * Checks a file with the config and the environment of a test. An operator's settings do not apply, so that they cannot
 * fail a rule's test; only a field without a default has the value in force.
 */
export function checkFor(
  { rule, source }: LoadedRule,
  { config, env, now }: Pick<TestWorld, "config" | "now"> & { env: Record<string, string | undefined> },
  kinds: Kinds,
): RuleFound {
  const fields = fieldsOf(source.raw.config);
  const needed = Object.entries(rule.config).filter(([key]) => fields[key]?.default === undefined);
  const known = { id: rule.id, config: { ...Object.fromEntries(needed), ...config }, enabled: true, env, now };
  return checkRule(source.raw, source.origin, kinds, known);
}

/**
 * The rule for a test.
 * @throws TestFailed if it does not load with the test's config and environment
 */
export function ruleFor(loaded: LoadedRule, test: TestWorld, kinds: Kinds): Rule {
  const { rule: checked, problems } = checkFor(loaded, test, kinds);
  if (checked === undefined) {
    const said = problems.filter(({ severity }) => severity === "error").map(formatProblem).join("\n");
    throw new TestFailed(`The rule does not load with the config and the environment of this test:\n${said}`);
  }
  const { version, actions, modules } = loaded.rule;
  // A worker holds one version, with its secrets and its environment, so these are part of the version here.
  const world = writeExactJson([version, checked.config, test.secrets, test.env]);
  const own = createHash("sha256").update(world).digest("hex").slice(0, 16);
  return { ...checked, actions, modules, version: own };
}

/** The secrets of a test: those that it sets, and made-up ones for all others that the rule names. */
export function secretsFor(rule: Rule, { secrets: given }: TestWorld, kinds: Kinds): Secrets {
  const parts = [rule, ...Object.values(rule.actions)];
  const inCode = Object.values(rule.modules).flatMap((code) =>
    [...code.matchAll(/\bsecrets\.(\w+)/g)].map(([, name]) => name)
  );
  const names = [...parts.flatMap((part) => secretNames(part, kinds)), ...inCode];
  const environment = { ...Object.fromEntries(names.map((name) => [name, madeUpSecret(name)])), ...given };
  const secrets = new Secrets({ environment, files: [], folders: [] });
  secrets.use(names);
  return secrets;
}
