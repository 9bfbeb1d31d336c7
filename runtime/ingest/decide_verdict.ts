import { messageOf } from "../model/errors.ts";
import type { Event, Verdict } from "../model/event.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import type { Clause, Rule, Trigger } from "../model/rule.ts";
import { batchTerms } from "../language/checker/batch.ts";
import { checkClauses, evaluate, type Scope } from "../language/expressions/expression.ts";
import type { Admission, Collection } from "../store/store.ts";
import { chainEnd } from "./cause.ts";
import { inputsOf } from "./rule_inputs.ts";

/**
 * Decides an event for a rule without the store: a verdict, or what the store needs to admit a run or to
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
  const end = chainEnd(event, rule.id);
  if (end !== undefined) return end;
  if (!rule.enabled) return { kind: "disabled", reason: "the rule has enabled: false" };
  if (paused !== undefined) return { kind: "disabled", reason: `the rule is paused: ${paused}` };
  try {
    const own = Array.isArray(rule.if) ? rule.if : [];
    if (rule.inputs === undefined) {
      const refused = refusal([...trigger.if ?? [], ...own], scope);
      return refused ?? admitOrCollect(rule, trigger, scope, now);
    }
    const filtered = refusal(trigger.if ?? [], scope);
    if (filtered !== undefined) return filtered;
    const { values, problems } = inputsOf(event, rule.inputs, trigger, scope);
    if (problems !== undefined) return invalid(problems);
    const seen = { ...scope, inputs: values };
    const outcome = refusal(own, seen) ?? admitOrCollect(rule, trigger, seen, now);
    return outcome.kind === "admit" ? { ...outcome, inputs: values } : outcome;
  } catch (error) {
    return { kind: "error", reason: messageOf(error) };
  }
}

/** The verdict if a clause does not hold. */
function refusal(clauses: Clause[], scope: Scope): Verdict | undefined {
  const answer = checkClauses(clauses, scope);
  if (answer.holds) return undefined;
  const { clause, values, reason } = answer;
  return { kind: "condition", reason, clause, values };
}

function admitOrCollect(rule: Rule, trigger: Trigger, scope: Scope, now: number): Admission | Collection {
  const key = rule.key === undefined ? null : writeExactJson(evaluate(rule.key, scope));
  if (trigger.batch !== undefined) return { kind: "collect", key, terms: batchTerms(trigger.batch, now) };
  return { ...admissionOf(rule), key };
}

/** The verdict on inputs that are not valid. */
function invalid(problems: Record<string, string>): Verdict & { kind: "invalid" } {
  return { kind: "invalid", reason: `The inputs are not valid: ${Object.values(problems).join("; ")}`, problems };
}

/** What the store needs to know of a rule to admit a run of it. */
export function admissionOf({ mode, max, limit, if: condition }: Rule): Omit<Admission, "key"> {
  return { kind: "admit", mode, max, limit, asksFirst: condition === "function" };
}
