import { RetryAfterError, TerminalError } from "../model/errors.ts";
import type { RetryPolicy } from "../model/rule.ts";
import { ExpressionError } from "../language/expressions/expression.ts";

/** Delays if neither the step nor its action says otherwise. */
export const STANDARD_DELAYS = { delay: 1_000, max: 60_000 };

/** A failed attempt, and what decides whether there is another one. */
export interface FailedAttempt {
  error: unknown;
  /** Attempts so far, this one included. */
  attempts: number;
  policy: RetryPolicy;
  /** Whether the action considers this kind of failure worth a retry. */
  worthwhile: boolean;
  now: number;
  /** From 0 up to 1. */
  random: () => number;
}

/**
 * When a failed step is attempted again: exponential backoff with full jitter, so that many runs that failed together
 * do not come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A
 * RetryAfterError brings its own time. A TerminalError is never retried, nor is an expression error, which would only
 * repeat itself.
 * @returns milliseconds since the epoch, or undefined if the failure is final
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
