import { messageOf } from "../model/errors.ts";
import type { Problem } from "../model/problem.ts";

/**
 * What reading or checking one file gives; whatever is thrown meanwhile is a problem of that file. Unguarded, one file
 * would stop every reload, and every start after it, for all files beside it.
 * @param file path for the problem
 * @param otherwise gives the result where the work throws
 */
export function guarded<T>(file: string, work: () => T, otherwise: (problem: Problem) => T): T {
  try {
    return work();
  } catch (error) {
    return otherwise(faultOf(file, error));
  }
}

/** What the program itself throws over a file: its own fault, but all that the user can change is the file. */
export function faultOf(file: string, thrown: unknown): Problem {
  return {
    severity: "error",
    file,
    at: { line: 1, column: 1 },
    message: `this file cannot be loaded: ${messageOf(thrown)}`,
    hint: "this is a fault of whenthen; please report it together with the file",
  };
}
