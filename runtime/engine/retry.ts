import { RetryAfterError, TerminalError } from "../model/errors.ts";
import type { RetryPolicy } from "../model/rule.ts";
import { ExpressionError } from "../language/expressions/expression.ts";

/** Delays where neither step nor action says otherwise. */
export const STANDARD_DELAYS = { delay: 1_000, max: 60_000 };

/** A failed attempt, and what decides whether there is another. */
export interface FailedAttempt {
  error: unknown;
  /** Attempts so far, this one included. */
  attempts: number;
  policy: RetryPolicy;
  /** Whether the action thinks a failure of this kind worth another attempt. */
  worthwhile: boolean;
  now: number;
  /** From 0 up to 1. */
  random: () => number;
}

/**
 * When a failed step is attempted again: exponential backoff with full jitter, so that many runs that failed together do
 * not come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A RetryAfterError
 * says itself when; a TerminalError never, nor an expression that would give the same again.
 * @returns milliseconds since the epoch, or undefined where the failure stands
 */
export function retryAt({ error, attempts, policy, worthwhile, now, random }: FailedAttempt): number | undefined {
  if (attempts >= policy.attempts || error instanceof TerminalError || error instanceof ExpressionError) {
    return undefined;
  }
  if (error instanceof RetryAfterError) return now + error.retryAfter;
  if (!worthwhile) return undefined;
  const ceiling = Math.min(policy.max, policy.delay * 2 ** (attempts - 1));
  return now + Math.round(random() * ceiling);
}
