import { NumberTooLargeError, readExactJson } from "./exact_json.ts";
import type { Json } from "../model/json.ts";

/** Maximum nesting of data from outside; a parser may set such a limit (RFC 8259, section 9). */
const DEEPEST = 500;

/**
 * Parses JSON from outside, with exact whole numbers. Later code (masks, expressions, listings) recurses into data, so a single
 * deeply nested document would make everything fail that shows it.
 * @param name of the value, with which paths in errors begin
 * @throws SyntaxError if it is not JSON, is nested too deeply, or has a number that is too large for a double
 */
export function parseJson(text: string, name?: string): Json {
  const value = read(text, name);
  if (hasMoreBrackets(text, DEEPEST) && isDeeper(value, DEEPEST)) {
    throw new SyntaxError(`it is nested deeper than ${DEEPEST} levels`);
  }
  return value;
}

/**
 * Parses a text that may or may not be JSON.
 * @returns undefined if it is not JSON
 * @throws SyntaxError if it is JSON with a number that is too large for a double, as a replacement value would be a guess
 */
export function parseMaybeJson(text: string, name?: string): Json | undefined {
  try {
    return parseJson(text, name);
  } catch (error) {
    // A single number does not count as JSON: a short hash such as 71e4553 looks like one.
    const { cause } = error as SyntaxError;
    if (cause instanceof NumberTooLargeError && cause.isWithin) throw error;
    return undefined;
  }
}

function read(text: string, name?: string): Json {
  try {
    return readExactJson(text, name) as Json;
  } catch (error) {
    throw error instanceof NumberTooLargeError ? new SyntaxError(error.message, { cause: error }) : error;
  }
}

/** Whether the text has so many opening brackets that it may be that deep; most texts have fewer in total. */
function hasMoreBrackets(text: string, most: number): boolean {
  let count = 0;
  for (const bracket of ["[", "{"]) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) if (++count > most) return true;
  }
  return false;
}

function isDeeper(value: Json, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1));
}
