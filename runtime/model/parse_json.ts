import type { Json } from "./json.ts";

/** Levels of nesting that data from outside may have; a parser may set such a limit (RFC 8259, section 9). */
const DEEPEST = 500;

/**
 * Reads JSON that comes from outside. Whatever looks at data later (masks, expressions, listings) goes into it level by
 * level, so that one deep document would fail everything that it is shown in.
 * @throws SyntaxError where it is no JSON, or nested too deeply
 */
export function parseJson(text: string): Json {
  const value: Json = JSON.parse(text);
  if (hasMoreBrackets(text, DEEPEST) && isDeeper(value, DEEPEST)) {
    throw new SyntaxError(`it is nested deeper than ${DEEPEST} levels`);
  }
  return value;
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
