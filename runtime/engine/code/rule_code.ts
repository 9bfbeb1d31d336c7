import type { BundledModule, CodeScope } from "../../workers/workers.ts";
import type { Rule } from "../../model/rule.ts";
import type { RunContext } from "../step_frame.ts";

/** The bundled module of a TypeScript rule. */
export function codeOf(rule: Rule): BundledModule {
  return { version: rule.version, file: rule.file, code: rule.modules[""] };
}

/** What a rule's functions see besides `step`. */
export function codeScope({ run, rule }: RunContext, alone: number): CodeScope {
  return {
    run: { id: run.id, attempt: alone + 1 },
    rule: { id: rule.id, file: rule.file },
    event: run.event,
    trigger: rule.triggers.findIndex((trigger) => trigger.id === run.trigger),
    config: rule.config,
    alone: alone > 0,
  };
}
