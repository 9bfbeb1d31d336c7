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

/** Thrown by a source whose cursor is no longer valid: the poll reads everything again. */
export class CursorExpired extends Error {
  override name = "CursorExpired";
  /** @param cursor where to continue after the full read, if that returns no cursor; any JSON */
  constructor(readonly cursor?: unknown) {
    super("The cursor has expired");
  }
}

/** A step took longer than its `timeout`. Retried by the step's policy; `onTimeout` handles it. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

/** A program was asked to end, but still runs. The step is not attempted again: two copies would run at once. */
export class StillRunningError extends TerminalError {
  override name = "StillRunningError";
}

/** A command line or request of a user cannot be carried out; the message says what would work. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Why a request failed: hosts wrap the cause in one or two errors that only say that something failed, with the whole URL. */
export function networkReason(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  return messageOf(inner).replace(
    / for url \(.*?\)| fetching "[^"]*"|\.? For more information, pass `verbose: true`.*/g,
    "",
  );
}

/** The code of an error of the system or of a library, such as `ENOENT`; undefined if it has none. */
export function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/** An error as recorded in a trace. */
export interface RecordedError {
  name: string;
  message: string;
  /** Frames in the user's code, if that code threw. */
  stack?: string;
  /** Data that the action received before it failed, such as an HTTP response. */
  detail?: Json;
  /** The path of the step inside the failed one that failed it. */
  step?: string;
}

/** Converts anything thrown to its recorded form, without frames of the host, which are not helpful. */
export function recordError(thrown: unknown): RecordedError {
  if (!(thrown instanceof Error)) return { name: "Error", message: String(thrown) };
  const { name, message } = thrown;
  const { detail, userStack: stack } = thrown as { detail?: Json; userStack?: string };
  return { name, message, ...(stack && { stack }), ...(detail !== undefined && { detail }) };
}

/** Adds to an error what the action received before it failed, for the trace and `onError`. */
export function withDetail<E extends Error>(error: E, detail: Json): E & { detail: Json } {
  return Object.assign(error, { detail });
}
