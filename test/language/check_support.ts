import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import { checkAction, checkRule, type Known } from "../../runtime/language/checker/check_rule.ts";
import { stepKinds } from "../../runtime/engine/steps/index.ts";
import { triggerKinds } from "../../runtime/triggers/index.ts";
import type { Problem } from "../../runtime/model/problem.ts";

/** The kinds of this version. */
export const kinds = { triggers: triggerKinds, steps: stepKinds };

const known: Known = {
  id: "x",
  config: {},
  env: { HOME: "/home/x" },
  now: Date.UTC(2026, 10, 21),
  secretFault: (name) =>
    name === "NOPE" ? { message: "the secret NOPE is not set", hint: "set it in the environment" } : undefined,
};

/** Checks a rule written in YAML. */
export function check(text: string, more: Partial<Known> = {}) {
  const { origin, value, problems } = parseYaml(text, "x.yaml");
  const checked = checkRule(value, origin, kinds, { ...known, ...more });
  return { ...checked, problems: [...problems, ...checked.problems] };
}

/** Checks an action written in YAML. */
export function checkActionText(text: string) {
  const { origin, value } = parseYaml(text, "x.yaml");
  return checkAction(value, origin, kinds, known);
}

/** The problems with the text underlined by the caret, in order of position. */
export function underlined(text: string, problems: Problem[]): string[][] {
  const lines = text.split("\n");
  const inOrder = [...problems].sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
  return inOrder.map(({ at, message, hint }) => {
    const start = at.column - 1;
    return [lines[at.line - 1].slice(start, start + (at.length ?? 1)), message, ...(hint === undefined ? [] : [hint])];
  });
}

/** A rule with these steps. */
export const withThen = (steps: string) => `when: { event: a }\nthen:\n${steps.replace(/^/gm, "  ")}`;

/** A rule with these triggers. */
export const withWhen = (triggers: string, rest = "") =>
  `when:\n${triggers.replace(/^/gm, "  ")}\n${rest}then: [{ log: hi }]`;
