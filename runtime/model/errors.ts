import type { Json } from "./json.ts";

/** Thrown by a step that must not be attempted again. */
export class TerminalError extends Error {
  override name = "TerminalError";
}

/** Thrown by a step that knows when it may be attempted again. */
export class RetryAfterError extends Error {
  override name = "RetryAfterError";
  /** @param retryAfter milliseconds from now */
  constructor(message: string, readonly retryAfter: number, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A step took longer than its `timeout`. Attempted again by the step's policy; `onTimeout` answers it. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

/** What a user's command line or request asked for cannot be done; the message says what would work. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What went wrong, in words, of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** An error as it is recorded in a trace. */
export interface RecordedError {
  name: string;
  message: string;
  /** Frames in the user's code, where it is the one that threw. */
  stack?: string;
  /** What the action got before it failed, e.g. an HTTP response. */
  detail?: Json;
  /** The path of the step inside the failed one that failed it. */
  step?: string;
}

/** Turns anything thrown into its recorded form. Frames of the host say nothing about a rule and are left out. */
export function recordError(thrown: unknown): RecordedError {
  if (!(thrown instanceof Error)) return { name: "Error", message: String(thrown) };
  const { name, message } = thrown;
  const { detail, userStack: stack } = thrown as { detail?: Json; userStack?: string };
  return { name, message, ...(stack && { stack }), ...(detail !== undefined && { detail }) };
}
