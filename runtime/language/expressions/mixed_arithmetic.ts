import type { Environment } from "@marcbachmann/cel-js";

/** A number in an expression: JSON's are doubles; literals and whole numbers beyond 2^53 are integers. */
export type Numeric = number | bigint;

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

/** Whether it is a whole number that is represented exactly. */
export function isWhole(value: Numeric): boolean {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

/** @throws Error if the integer exceeds the 64 bits of CEL's `int` */
export function int64(value: bigint): bigint {
  if (BigInt.asIntN(64, value) === value) return value;
  throw new Error(`integer overflow: ${value}`);
}

function isSafe(value: Numeric): boolean {
  return Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER;
}
