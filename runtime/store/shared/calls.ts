import { readExactJson } from "../../formats/exact_json.ts";
import { messageOf } from "../../model/errors.ts";
import { type Answer, type AnsweredError, toJson } from "../ledger/tables.ts";
import type { Rows } from "../ledger/rows.ts";
import { StoreFullError } from "../store.ts";
import { complete } from "./claims.ts";

/**
 * A transition that a replica wants to be decided: by its name, with its input. JSON carries it. Properties that are undefined get
 * lost on the way, as they do in a stored row.
 */
export interface Call {
  name: string;
  now: number;
  input?: unknown;
}

/** @throws TypeError if JSON cannot represent the input */
export function callToJson(call: Call): string {
  return toJson(call);
}

/** The calls of a batch. @throws SyntaxError if it is not a list */
export function readCalls(text: string): Call[] {
  const calls = readExactJson(text);
  if (!Array.isArray(calls)) throw new SyntaxError("expected a list of calls");
  return calls;
}

/** An error as an answer. */
export function toAnswer(thrown: unknown): { error: AnsweredError } {
  const { name, code } = (thrown instanceof Error ? thrown : {}) as { name?: string; code?: unknown };
  return {
    error: {
      name: name ?? "Error",
      message: messageOf(thrown),
      ...typeof code === "string" && { code },
      ...thrown instanceof StoreFullError && { retryAfter: thrown.retryAfter },
    },
  };
}

/** A call that waits for its answer. */
export interface Asking {
  name: string;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * Settles a call by its answer; without one, the batch could not be read.
 * @param rows with the frame of the answer
 */
export function settle({ name, resolve, reject }: Asking, answer: Answer | undefined, rows: Rows): void {
  if (answer === undefined) reject(new Error("The program that decides cannot read what this one sent: update both"));
  else if ("error" in answer) reject(toError(answer.error));
  else resolve(complete(name, answer.result, rows));
}

function toError({ name, message, code, retryAfter }: AnsweredError): Error {
  if (retryAfter !== undefined) return new StoreFullError(message, retryAfter);
  return Object.assign(new Error(message), { name, ...code !== undefined && { code } });
}
