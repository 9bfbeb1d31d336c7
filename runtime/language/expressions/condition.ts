import { writeExactJson } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import type { Clause } from "../../model/rule.ts";
import { compile, evaluate, ExpressionError, type Scope, showResult } from "./expression.ts";
import { toPlain } from "./plain.ts";
import { formatPath, lookUp } from "./references.ts";

/** Whether all clauses hold; if not, the first one that does not, with the values that it uses. */
export type Answer =
  | { holds: true }
  | { holds: false; clause: string; values: Record<string, Json>; reason: string };

/** Longer texts, and lists and objects with longer JSON, are only described, as a verdict is stored for each event. */
const LONGEST_VALUE = 200;

/**
 * Evaluates clauses in order, up to the first that does not hold. A clause with a missing key does not hold.
 * @throws ExpressionError if a clause cannot be evaluated for another reason, or its result is not a boolean
 */
export function checkClauses(clauses: Clause[], scope: Scope): Answer {
  for (const { text } of clauses) {
    let reason: string;
    try {
      const result = evaluate(text, scope);
      if (result === true) continue;
      if (result !== false) {
        throw new ExpressionError(
          `the condition ${text} gave ${showResult(text, describe(result))}, expected true or false`,
        );
      }
      reason = `${text} is false`;
    } catch (error) {
      if (!(error instanceof ExpressionError) || error.missing === undefined) throw error;
      reason = error.message;
    }
    return { holds: false, clause: text, values: valuesIn(text, scope), reason };
  }
  return { holds: true };
}

/** The paths in a clause, with their values. */
function valuesIn(text: string, scope: Scope): Record<string, Json> {
  const values: Record<string, Json> = {};
  for (const { path } of compile(text).references) {
    const value = path[0] === "secrets" ? "***" : lookUp(scope, path);
    const whole = path.length === 1 && typeof value === "object" && value !== null;
    if (value !== undefined && !whole) values[formatPath(path)] = describe(toPlain(value));
  }
  return values;
}

function describe(value: Json): Json {
  if (typeof value === "string") return value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE)}…` : value;
  if (typeof value !== "object" || value === null || writeExactJson(value).length <= LONGEST_VALUE) return value;
  return Array.isArray(value) ? `[${value.length} items]` : `{${Object.keys(value).length} keys}`;
}
