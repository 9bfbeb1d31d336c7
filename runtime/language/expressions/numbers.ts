import type { Environment } from "@marcbachmann/cel-js";

/** A number in an expression: JSON's are doubles; literals and whole numbers beyond 2^53 are integers. */
export type Numeric = number | bigint;

/** Whether a value of an expression is a number. */
export function isNumeric(value: unknown): value is Numeric {
  return typeof value === "number" || typeof value === "bigint";
}

interface Operator {
  double: (a: number, b: number) => number;
  /** Undefined if the result is not an integer. */
  exact: (a: bigint, b: bigint) => bigint | undefined;
}

const OPERATORS: Record<string, Operator> = {
  "+": { double: (a, b) => a + b, exact: (a, b) => a + b },
  "-": { double: (a, b) => a - b, exact: (a, b) => a - b },
  "*": { double: (a, b) => a * b, exact: (a, b) => a * b },
  "/": { double: (a, b) => a / b, exact: (a, b) => b !== 0n && a % b === 0n ? a / b : undefined },
  "%": { double: (a, b) => a % b, exact: (a, b) => b !== 0n ? a % b : undefined },
};

/** Adds what CEL lacks: arithmetic between doubles and integers, and `%` of doubles. */
export function addMixedArithmetic(environment: Environment): void {
  for (const [sign, operator] of Object.entries(OPERATORS)) {
    const handler = (a: Numeric, b: Numeric) => compute(operator, a, b);
    // `dyn`, as the type depends on the values, and the operators around it trust the declared type.
    environment.registerOperator(`int ${sign} double: dyn`, handler);
    environment.registerOperator(`double ${sign} int: dyn`, handler);
  }
  environment.registerOperator("double % double: double", OPERATORS["%"].double);
  // deno-lint-ignore eqeqeq
  environment.registerOperator("int == double", (a: Numeric, b: Numeric) => a == b);
}

/** Computes with doubles while they are exact, else with integers. */
function compute({ double, exact }: Operator, a: Numeric, b: Numeric): Numeric {
  const result = double(Number(a), Number(b));
  if (isSafe(a) && isSafe(b) && Math.abs(result) <= Number.MAX_SAFE_INTEGER) return result;
  if (!isWhole(a) || !isWhole(b)) return result;
  const whole = exact(BigInt(a), BigInt(b));
  return whole === undefined ? result : int64(whole);
}

/** The quotient without what is behind the point, whatever kind of number the two are. */
export function divide(a: Numeric, b: Numeric): Numeric {
  if (Number(b) === 0) throw new Error("div() by zero");
  if (!isWhole(a) || !isWhole(b)) return Math.trunc(Number(a) / Number(b)) + 0;
  const exact = BigInt(a) / BigInt(b);
  return isSafe(exact) ? Number(exact) : int64(exact);
}

/** The most digits behind the point that {@link round} keeps; a double has 17 in all. */
const MOST_DIGITS = 15;

/**
 * Rounds to so many digits behind the point. Halves go away from zero, and as they are written: `round(1.005, 2)` is 1.01, though the
 * double is a little smaller.
 */
export function round(value: Numeric, digits: Numeric = 0): Numeric {
  const places = Number(digits);
  if (!Number.isInteger(places) || places < 0 || places > MOST_DIGITS) {
    throw new Error(`round() needs a number of digits from 0 to ${MOST_DIGITS}, got ${digits}`);
  }
  if (typeof value === "bigint" || Number.isInteger(value) || !Number.isFinite(value)) return value;
  const rounded = movePoint(Math.round(movePoint(Math.abs(value), places)), -places);
  return value < 0 ? 0 - rounded : rounded;
}

/** Moves the decimal point, without the error of a multiplication. */
function movePoint(value: number, places: number): number {
  const [digits, exponent = "0"] = String(value).split("e");
  return Number(`${digits}e${Number(exponent) + places}`);
}

/** Applies `Math.floor` and the like, which leave integers as they are. */
export function whole(cut: (value: number) => number): (value: Numeric) => Numeric {
  // Adding 0 turns -0 into 0.
  return (value) => typeof value === "bigint" ? value : cut(value) + 0;
}

/** The number without its sign. */
export function absolute(value: Numeric): Numeric {
  if (typeof value === "number") return Math.abs(value);
  return int64(value < 0n ? -value : value);
}

/** Adds numbers up: with doubles while they are exact, else with integers. */
export function addUp(list: Numeric[]): Numeric {
  let total = 0;
  let largest = 0;
  for (const item of list) {
    total += Number(item);
    largest += Math.abs(Number(item));
  }
  if (!list.every(isWhole) || largest <= Number.MAX_SAFE_INTEGER) return total;
  return int64(list.reduce((exact: bigint, item) => exact + BigInt(item), 0n));
}

/** Whether it is a whole number that is represented exactly. */
function isWhole(value: Numeric): boolean {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

/** @throws Error if the integer exceeds the 64 bits of CEL's `int` */
function int64(value: bigint): bigint {
  if (BigInt.asIntN(64, value) === value) return value;
  throw new Error(`integer overflow: ${value}`);
}

function isSafe(value: Numeric): boolean {
  return Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER;
}
