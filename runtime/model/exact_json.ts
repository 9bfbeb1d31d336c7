/**
 * JSON with whole numbers as they are written: those that a double cannot hold become a BigInt, and are written back digit by
 * digit. RFC 8259, section 6, leaves to the reader what becomes of them.
 */

/** Digits enough for a number beyond 2^53, or an exponent enough for one beyond a double. In text it costs a second look. */
const MAY_BE_INEXACT = /\d{16}|\d[eE]\+?\d{3}/;

const WHOLE = /^-?\d+$/;

/** What `JSON.parse` tells a reviver of a primitive value (TC39 proposal "JSON.parse source text access", stage 4). */
interface Source {
  source?: string;
}

type Reviver = (this: unknown, key: string, value: unknown, context: Source) => unknown;

/**
 * Reads JSON.
 * @throws SyntaxError if it is none, RangeError if a number is too large for a double and not whole
 */
export function readExactJson(text: string): unknown {
  if (!MAY_BE_INEXACT.test(text)) return JSON.parse(text);
  return JSON.parse(text, exact as Parameters<typeof JSON.parse>[1]);
}

const exact: Reviver = (key, value, { source }) => {
  if (typeof value !== "number" || source === undefined || Number.isSafeInteger(value)) return value;
  if (WHOLE.test(source)) return BigInt(source);
  if (Number.isFinite(value)) return value;
  throw new RangeError(
    `the number ${source} at ${JSON.stringify(key)} is too large: a number may have at most 309 digits`,
  );
};

/**
 * Writes JSON; undefined for a value that JSON has no text for, such as a function.
 * @throws TypeError if it has a cycle
 */
export function writeExactJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError) || !/bigint/i.test(error.message)) throw error;
    return JSON.stringify(value, (_, item) => typeof item === "bigint" ? rawNumber(item) : item);
  }
}

function rawNumber(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}
