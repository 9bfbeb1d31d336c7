import { NumberTooLargeError, readExactJson } from "./exact_json.ts";
import type { Json } from "../model/json.ts";

/** Levels of nesting that data from outside may have; a parser may set such a limit (RFC 8259, section 9). */
const DEEPEST = 500;

/**
 * Reads JSON that comes from outside, whole numbers as they are written. Whatever looks at data later (masks, expressions, listings) goes into it level by
 * level, so that one deep document would fail everything that it is shown in.
 * @param name of the value, with which paths in errors begin
 * @throws SyntaxError where it is no JSON, nested too deeply, or has a number that is too large for a double
 */
export function parseJson(text: string, name?: string): Json {
  const value = read(text, name);
  if (hasMoreBrackets(text, DEEPEST) && isDeeper(value, DEEPEST)) {
    throw new SyntaxError(`it is nested deeper than ${DEEPEST} levels`);
  }
  return value;
}

/**
 * Reads what may be JSON and may be something else.
 * @returns undefined where it is none
 * @throws SyntaxError where it is, but has a number that is too large for a double: what is there instead must not be guessed
 */
export function parseMaybeJson(text: string, name?: string): Json | undefined {
  try {
    return parseJson(text, name);
  } catch (error) {
    // A number alone is none: a short hash such as 71e4553 looks like that.
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

/** Whether the text opens so many lists and objects that it may be that deep: most have fewer in all. */
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
