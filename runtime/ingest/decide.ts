import { messageOf } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import { MAX_DEPTH } from "../model/event.ts";
import type { Rule, Trigger } from "../model/rule.ts";
import type { Verdict } from "../model/verdict.ts";
import { checkClauses } from "../rule/condition.ts";
import { evaluate, type Scope } from "../rule/expression.ts";
import type { Admission } from "../store/store.ts";

/**
 * What becomes of an event at a rule, as far as that can be said without the store: a verdict, or what the store needs
 * to admit a run. Never waits for rule code: a function `if` is asked later, as the run's first step.
 * @param paused why an operator or the watchdog paused the rule, or undefined
 */
export function decide(
  event: Event,
  rule: Rule,
  trigger: Trigger,
  paused: string | undefined,
  scope: Scope,
): Verdict | Admission {
  const depth = event.cause?.depth ?? 0;
  if (depth > MAX_DEPTH) {
    return {
      kind: "looped",
      reason: `${depth} runs in a row brought this event about; a chain ends after ${MAX_DEPTH}`,
    };
  }
  if (!rule.enabled) return { kind: "disabled", reason: "the rule has enabled: false" };
  if (paused !== undefined) return { kind: "disabled", reason: `the rule is paused: ${paused}` };
  try {
    const clauses = [...trigger.if ?? [], ...Array.isArray(rule.if) ? rule.if : []];
    const answer = checkClauses(clauses, scope);
    if (!answer.holds) {
      const { clause, values, reason } = answer;
      return { kind: "condition", reason, clause, values };
    }
    return {
      kind: "admit",
      mode: rule.mode,
      key: rule.key === undefined ? null : JSON.stringify(evaluate(rule.key, scope)),
      max: rule.max,
      limit: rule.limit,
      asksFirst: rule.if === "function",
    };
  } catch (error) {
    return { kind: "error", reason: messageOf(error) };
  }
}
