import { CursorExpired, recordError, RetryAfterError, TerminalError } from "../model/errors.ts";
import { readExactJson, writeRecordJson } from "../formats/exact_json.ts";
import type { Json } from "../model/json.ts";
import { type CodePlace, InvalidEventError, RuleCodeError, type ThrownError } from "./workers.ts";
import type { UserCode } from "./user_code.ts";

/** Which step's failure each of these errors is. */
const failedSteps = new WeakMap<Error, string>();
/** How many causes of an error are followed; they may form a cycle. */
const DEEPEST_CAUSE = 8;

/** The path of the step whose failure was thrown, or caused the error that was thrown. */
export function stepOf(thrown: unknown): string | undefined {
  let error = thrown;
  for (let depth = 0; depth < DEEPEST_CAUSE && error instanceof Error; depth++) {
    const step = failedSteps.get(error);
    if (step !== undefined) return step;
    error = error.cause;
  }
  return undefined;
}

/** An error thrown by rule code, as it is sent to the main thread; the stack shows only the user's files. */
export function describeThrown(thrown: unknown, code: UserCode): { error: ThrownError; at?: CodePlace } {
  const { name, ...rest } = recordError(thrown);
  const message = code.translate(rest.message);
  const detail = toJson(rest.detail);
  const frames = code.frames((thrown as Error | undefined)?.stack ?? "");
  // A syntax error that only the host finds has no stack frame in user code, but its message names the position.
  const at = frames[0]?.place ?? code.placesIn(rest.message)[0];
  const stack = [`${name}: ${message}`, ...frames.map((frame) => frame.text)].join("\n");
  const step = stepOf(thrown);
  return {
    error: {
      name: thrown instanceof TerminalError ? "TerminalError" : name,
      message,
      stack,
      ...(detail !== undefined && { detail }),
      ...(step !== undefined && { step }),
      ...(thrown instanceof RetryAfterError && { name: "RetryAfterError", retryAfter: thrown.retryAfter }),
      ...(thrown instanceof CursorExpired && { cursor: toJson(thrown.cursor ?? null) }),
    },
    ...(at && { at }),
  };
}

/** The error to throw on the other side, of the class that its name stands for. */
export function reviveThrown(error: ThrownError, at?: CodePlace, invalidEvent = false): Error {
  const revived = revive(error, at, invalidEvent);
  if (error.step !== undefined) failedSteps.set(revived, error.step);
  if (error.stack === undefined) return revived;
  revived.stack = error.stack;
  return Object.assign(revived, { userStack: error.stack });
}

function revive(error: ThrownError, at: CodePlace | undefined, invalidEvent: boolean): Error {
  if (invalidEvent) return new InvalidEventError(error.message);
  if (error.name === "TerminalError") return withDetail(new TerminalError(error.message), error);
  if (error.name === "RetryAfterError") {
    return withDetail(new RetryAfterError(error.message, error.retryAfter ?? 0), error);
  }
  if (error.name === "CursorExpired") return new CursorExpired(error.cursor);
  const other = new RuleCodeError(error.message, false, error.stack, at);
  other.name = error.name;
  return withDetail(other, error);
}

function withDetail(target: Error, error: ThrownError): Error {
  return error.detail === undefined ? target : Object.assign(target, { detail: error.detail });
}

/** Foreign errors may carry a `detail` of any kind, which must not prevent their report. */
function toJson(detail: unknown): Json | undefined {
  try {
    return readExactJson(writeRecordJson(detail)) as Json;
  } catch {
    return undefined;
  }
}
