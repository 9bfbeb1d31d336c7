import type { Rule, Step } from "../model/rule.ts";

/**
 * Whether a run of the rule may reach a `reply` step. Of a TypeScript rule only the text is known: without the word `reply`
 * in it, it has no such step.
 */
export function mayReply(rule: Rule): boolean {
  let known = replies.get(rule);
  if (known === undefined) replies.set(rule, known = findReply(rule));
  return known;
}

/** Each delivery asks. */
const replies = new WeakMap<Rule, boolean>();

function findReply(rule: Rule): boolean {
  const lists = [rule.onError, ...Object.values(rule.actions).map((action) => action.then)];
  if (rule.then !== "function") lists.push(rule.then);
  else if (/\breply\b/.test(rule.modules[""])) return true;
  return lists.some(hasReply);
}

function hasReply(steps: Step[]): boolean {
  return steps.some((step) => {
    const { onError = [], onTimeout = [] } = step;
    const nested = [...Object.values(step.children), onTimeout, onError === "continue" ? [] : onError];
    return step.kind === "reply" || nested.some(hasReply);
  });
}
