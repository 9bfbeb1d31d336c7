import { messageOf } from "./errors.ts";

/** A place in a file. Lines and columns count from 1. */
export interface Position {
  line: number;
  column: number;
  /** How many characters the caret underlines; 1 if unknown. */
  length?: number;
}

/** A problem in a user's file: data, not an exception. All problems of all files are shown at once. */
export interface Problem {
  severity: "error" | "warning";
  /** Path relative to the rules folder. */
  file: string;
  at: Position;
  /** What was expected and what was found; no trailing period. */
  message: string;
  /** What would work. */
  hint?: string;
  /** The source line that `at` points into, for the caret. */
  sourceLine?: string;
  /** Whether the text at `at` may be a secret, which must not be shown: it is masked in the source line. */
  hidden?: true;
}

/** Whether a problem keeps its file from loading; a warning does not. */
export function isError({ severity }: Pick<Problem, "severity">): boolean {
  return severity === "error";
}

/**
 * Renders a problem as `file:line:col: message`, the source line, a caret and the hint. Control characters of names and data
 * in it are escaped, so they cannot add lines.
 */
export function formatProblem(problem: Problem): string {
  const { file, at, message, hint, sourceLine, severity } = problem;
  const label = severity === "warning" ? "warning: " : "";
  const lines = [`${escapeControls(file)}:${at.line}:${at.column}: ${label}${escapeControls(message)}`];
  if (sourceLine !== undefined) {
    const shown = hideControls(sourceLine.replaceAll("\t", " "));
    const room = Math.max(1, shown.length - at.column + 1);
    lines.push(`    ${shown}`, `    ${" ".repeat(at.column - 1)}${"^".repeat(Math.min(at.length ?? 1, room))}`);
  }
  if (hint !== undefined) lines.push(...hint.split("\n").map((line) => `    ${escapeControls(line)}`));
  return lines.join("\n");
}

/** Characters that affect a terminal or line-based reader: control characters, line separators, and changes of text direction. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Escapes control characters as in JSON, on one line, so that data from outside cannot look like lines of ours. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (char) => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The same with one character for each, so that a caret below still has the right position. */
function hideControls(text: string): string {
  return text.replace(CONTROLS, "�");
}

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
