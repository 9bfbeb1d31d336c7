import { z } from "zod";
import { TerminalError } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";
import type { RetryPolicy } from "../model/rule.ts";
import { parseArgs } from "../rule/check.ts";
import { duration } from "../rule/field.ts";
import type { Kind } from "../rule/kind.ts";
import { retrySchema } from "../rule/retry_schema.ts";

/** A `step.*` call, checked. */
export interface CheckedCall {
  args: JsonObject;
  timeout?: number;
  retry?: RetryPolicy;
}

const common = z.object({ timeout: duration().optional(), retry: retrySchema.optional() });

/**
 * Checks what a rule function gave to a step as its kind's schema says; `timeout` and `retry` are known to every kind.
 * @param kind undefined for `do`, which has nothing else
 * @throws TerminalError
 */
export function checkCall(path: string, kind: Kind | undefined, raw: JsonObject): CheckedCall {
  const { timeout, retry, ...rest } = raw;
  const options = common.safeParse({ timeout, retry });
  const checked = kind === undefined ? { args: {} } : parseArgs(kind, rest);
  if (options.success && "args" in checked) return { args: checked.args, ...options.data };
  const problems = [
    ...(options.error?.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`) ?? []),
    ...("problems" in checked ? checked.problems : []),
  ];
  throw new TerminalError(`Cannot perform step "${path}": ${problems.join("; ")}`);
}
