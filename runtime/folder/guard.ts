import { messageOf } from "../model/errors.ts";
import type { Problem } from "../model/problem.ts";

/**
 * The result of reading or checking one file; anything thrown becomes a problem of that file. Without this guard, one file
 * would stop every reload and every later start for all other files.
 * @param file path for the problem
 * @param otherwise gives the result if the work throws
 */
export function guarded<T>(file: string, work: () => T, otherwise: (problem: Problem) => T): T {
  try {
    return work();
  } catch (error) {
    return otherwise(faultOf(file, error));
  }
}

/**
 * An error that the program itself throws over a file: a bug of the program, but only the file can be changed by the user.
 */
export function faultOf(file: string, thrown: unknown): Problem {
  return {
    severity: "error",
    file,
    at: { line: 1, column: 1 },
    message: `this file cannot be loaded: ${messageOf(thrown)}`,
    hint: "this is a fault of whenthen; please report it together with the file",
  };
}
