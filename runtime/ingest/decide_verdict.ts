import { messageOf } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import type { Rule, Trigger } from "../model/rule.ts";
import type { Verdict } from "../model/verdict.ts";
import { batchTerms } from "../language/fields/batch.ts";
import { checkClauses } from "../language/expressions/condition.ts";
import { evaluate, type Scope } from "../language/expressions/expression.ts";
import type { Admission, Collection } from "../store/store.ts";
import { chainEnd } from "./cause.ts";

/**
 * Decides an event for a rule as far as possible without the store: a verdict, or what the store needs to admit a run or to
 * collect the event in a batch. Never waits for rule code: a function `if` is called later, as the run's first step.
 * @param paused why an operator or the watchdog paused the rule, or undefined
 * @param now milliseconds since the epoch
 */
export function decide(
  event: Event,
  rule: Rule,
  trigger: Trigger,
  paused: string | undefined,
  scope: Scope,
  now: number,
): Verdict | Admission | Collection {
  const end = chainEnd(event);
  if (end !== undefined) return end;
  if (!rule.enabled) return { kind: "disabled", reason: "the rule has enabled: false" };
  if (paused !== undefined) return { kind: "disabled", reason: `the rule is paused: ${paused}` };
  try {
    const clauses = [...trigger.if ?? [], ...Array.isArray(rule.if) ? rule.if : []];
    const answer = checkClauses(clauses, scope);
    if (!answer.holds) {
      const { clause, values, reason } = answer;
      return { kind: "condition", reason, clause, values };
    }
    const key = rule.key === undefined ? null : writeExactJson(evaluate(rule.key, scope));
    if (trigger.batch !== undefined) return { kind: "collect", key, terms: batchTerms(trigger.batch, now) };
    return { ...admissionOf(rule), key };
  } catch (error) {
    return { kind: "error", reason: messageOf(error) };
  }
}

/** What the store needs to know of a rule to admit a run of it. */
export function admissionOf({ mode, max, limit, if: condition }: Rule): Omit<Admission, "key"> {
  return { kind: "admit", mode, max, limit, asksFirst: condition === "function" };
}
