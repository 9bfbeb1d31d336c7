import type { Rule } from "../../runtime/model/rule.ts";

/** A YAML rule with the defaults of the checker, that does nothing; its file follows from its id. */
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
