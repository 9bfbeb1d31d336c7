/**
 * JSON with whole numbers as they are written: those that a double cannot hold become a BigInt, and are written back digit by
 * digit. RFC 8259, section 6, leaves to the reader what becomes of them.
 */

/**
 * A number that may be whole and beyond 2^53, which begins with 9007: it has 17 digits, or 16 with a 9 in front. Exact readers and
 * writers take ten times as long as the plain ones, so most texts must not look like that: microseconds since the epoch do not.
 */
const MAY_BE_UNSAFE = /(?:^|[[:,\s])-?(?:9\d{15}|\d{17})/;

/** An exponent enough for a number beyond a double. Apart from the digits: two expressions take half the time of one. */
const MAY_BE_TOO_LARGE = /[eE][+\d]\d\d\d*\s*(?:[,\]}]|$)/;

const WHOLE = /^-?\d+$/;

/** What `JSON.parse` tells a reviver of a primitive value (TC39 proposal "JSON.parse source text access", stage 4). */
interface Source {
  source?: string;
}

type Reviver = (this: unknown, key: string, value: unknown, context: Source) => unknown;

/** A number in JSON is too large for a double. */
export class NumberTooLargeError extends RangeError {
  override name = "NumberTooLargeError";
  /**
   * @param path of the number: `lines[3].price`, empty if it is the whole text
   * @param isWithin whether it is in a list or an object
   */
  constructor(readonly source: string, readonly path: string, readonly isWithin: boolean) {
    const shown = source.length > 40 ? `${source.slice(0, 40)}…` : source;
    super(`the number ${shown}${path && ` at ${path}`} is too large: a number may have at most 309 digits`);
  }
}

/**
 * Reads JSON.
 * @param name of the value, with which paths in errors begin
 * @throws SyntaxError if it is none, NumberTooLargeError if a number is too large for a double
 */
export function readExactJson(text: string, name = ""): unknown {
  if (!MAY_BE_UNSAFE.test(text) && !MAY_BE_TOO_LARGE.test(text)) return JSON.parse(text);
  let hasTooLarge = false;
  const exact: Reviver = (_key, value, { source }) => {
    if (typeof value !== "number" || source === undefined || Number.isSafeInteger(value)) return value;
    // Whole ones too: to read and write a number takes time that grows with the square of its digits.
    if (!Number.isFinite(value)) {
      hasTooLarge = true;
      return new TooLarge(source);
    }
    return WHOLE.test(source) ? BigInt(source) : value;
  };
  const value: unknown = JSON.parse(text, exact as Parameters<typeof JSON.parse>[1]);
  if (hasTooLarge) throw findTooLarge(value, name);
  return value;
}

/** The number that a text is, exact if it is whole; NaN or infinite if a double is that. */
export function readExactNumber(text: string): number | bigint {
  const value = Number(text);
  const isExact = Number.isSafeInteger(value) || !Number.isFinite(value) || !WHOLE.test(text.trim());
  return isExact ? value : BigInt(text);
}

/** The same whole number as data has it: a BigInt only beyond ±2^53. */
export function normalized(value: bigint): number | bigint {
  const double = Number(value);
  return Number.isSafeInteger(double) ? double : value;
}

/** Stands where a number is that cannot be read: a reviver does not know the path. */
class TooLarge {
  constructor(readonly source: string) {}
}

function findTooLarge(value: unknown, path: string, isWithin = false): NumberTooLargeError | undefined {
  if (value instanceof TooLarge) return new NumberTooLargeError(value.source, path.replace(/^\./, ""), isWithin);
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    const found = findTooLarge(item, path + (Array.isArray(value) ? `[${key}]` : member(key)), true);
    if (found) return found;
  }
}

function member(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/**
 * Writes JSON; undefined for a value that JSON has no text for, such as a function.
 * @param indent spaces for each level; without it all is one line
 * @throws TypeError if it has a cycle
 */
export function writeExactJson(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch (error) {
    if (!(error instanceof TypeError) || !/bigint/i.test(error.message)) throw error;
    return JSON.stringify(value, (_, item) => typeof item === "bigint" ? rawNumber(item) : item, indent);
  }
}

/**
 * Writes JSON that {@link readExactJson} reads as the very same values: a double that happens to be whole beyond 2^53 gets an
 * exponent, so that it does not come back as a BigInt.
 * @throws TypeError if it has a cycle
 */
export function writeRecordJson(value: unknown): string {
  const text = writeExactJson(value);
  if (text === undefined || !MAY_BE_UNSAFE.test(text)) return text;
  return JSON.stringify(value, (_, item) => {
    if (typeof item === "bigint") return rawNumber(item);
    return Number.isInteger(item) && !Number.isSafeInteger(item) ? raw(item.toExponential()) : item;
  });
}

/** What any `JSON.stringify` writes as this number. */
export function rawNumber(value: bigint): unknown {
  return raw(String(value));
}

function raw(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
}
