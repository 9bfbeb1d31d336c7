import type { Environment } from "@marcbachmann/cel-js";

/** A number as expressions have it: JSON's are doubles, literals and whole numbers beyond 2^53 are integers. */
export type Numeric = number | bigint;

interface Operator {
  double: (a: number, b: number) => number;
  /** Undefined where the result is no integer. */
  exact: (a: bigint, b: bigint) => bigint | undefined;
}

const OPERATORS: Record<string, Operator> = {
  "+": { double: (a, b) => a + b, exact: (a, b) => a + b },
  "-": { double: (a, b) => a - b, exact: (a, b) => a - b },
  "*": { double: (a, b) => a * b, exact: (a, b) => a * b },
  "/": { double: (a, b) => a / b, exact: (a, b) => b !== 0n && a % b === 0n ? a / b : undefined },
  "%": { double: (a, b) => a % b, exact: (a, b) => b !== 0n ? a % b : undefined },
};

/** CEL knows no arithmetic between doubles and integers, and no `%` of doubles. */
export function addMixedArithmetic(environment: Environment): void {
  for (const [sign, operator] of Object.entries(OPERATORS)) {
    const handler = (a: Numeric, b: Numeric) => compute(operator, a, b);
    // Either, by the values: what is declared is trusted by the operators around it.
    environment.registerOperator(`int ${sign} double: dyn`, handler);
    environment.registerOperator(`double ${sign} int: dyn`, handler);
  }
  environment.registerOperator("double % double: double", OPERATORS["%"].double);
  // deno-lint-ignore eqeqeq
  environment.registerOperator("int == double", (a: Numeric, b: Numeric) => a == b);
}

/** As doubles, as long as those are exact; beyond as integers. */
function compute({ double, exact }: Operator, a: Numeric, b: Numeric): Numeric {
  const result = double(Number(a), Number(b));
  if (isSafe(a) && isSafe(b) && Math.abs(result) <= Number.MAX_SAFE_INTEGER) return result;
  if (!isWhole(a) || !isWhole(b)) return result;
  const whole = exact(BigInt(a), BigInt(b));
  return whole === undefined ? result : int64(whole);
}

/** Whether it is a whole number that is held exactly. */
export function isWhole(value: Numeric): boolean {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

/** @throws Error where the integer is beyond 64 bits, those of CEL's `int` */
export function int64(value: bigint): bigint {
  if (BigInt.asIntN(64, value) === value) return value;
  throw new Error(`integer overflow: ${value}`);
}

function isSafe(value: Numeric): boolean {
  return Math.abs(Number(value)) <= Number.MAX_SAFE_INTEGER;
}
