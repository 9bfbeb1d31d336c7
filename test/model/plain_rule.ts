import type { Rule } from "../../runtime/model/rule.ts";

/** A YAML rule with the defaults of the checker and no steps; its file name is derived from its id. */
export function plainRule(changes: Partial<Rule> & Pick<Rule, "id" | "version">): Rule {
  return {
    file: `${changes.id}.yaml`,
    language: "yaml",
    enabled: true,
    triggers: [],
    mode: "parallel",
    max: 10,
    timeout: 3_600_000,
    limit: null,
    onError: [],
    then: [],
    config: {},
    actions: {},
    modules: {},
    ...changes,
  };
}
