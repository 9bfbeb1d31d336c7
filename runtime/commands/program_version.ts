import type { VersionCheck } from "../model/rule.ts";

const CLAUSE = /^(>=|<=|>|<|=)?(\d+(?:\.\d+)*)$/;

/** Whether a text is a version requirement: `8.5`, `>=7.9`, `>=7.9 <9`. */
export function isConstraint(text: string): boolean {
  const clauses = text.trim().split(/\s+/);
  return clauses.every((clause) => CLAUSE.test(clause));
}

/** The first version in a program's output: `OpenSSL 3.0.19 27 Jan 2026` → `3.0.19`. */
export function findVersion(output: string): string | undefined {
  return /(?<![\w.])v?(\d+(?:\.\d+)+)/.exec(output)?.[1] ?? /(?<![\w.])v?(\d+)(?![\w.])/.exec(output)?.[1];
}

/** Whether a version satisfies all clauses. A clause without an operator matches a prefix: `8.5` matches `8.5.1`. */
export function satisfies(version: string, constraint: string): boolean {
  return constraint.trim().split(/\s+/).every((clause) => {
    const [, operator = "=", wanted] = CLAUSE.exec(clause)!;
    const [found, bound] = [numbersOf(version), numbersOf(wanted)];
    const order = compare(found, bound);
    switch (operator) {
      case ">=":
        return order >= 0;
      case ">":
        return order > 0;
      case "<=":
        return order <= 0;
      case "<":
        return order < 0;
      default:
        return bound.every((part, index) => (found[index] ?? 0) === part);
    }
  });
}

/** The problem with the version in a program's output; undefined if it is right. */
export function versionFault(program: string, { is, by }: VersionCheck, output: string): string | undefined {
  const found = findVersion(output);
  const asked = [program, ...by].join(" ");
  if (found === undefined) return `${asked} says no version, expected ${is}`;
  return satisfies(found, is) ? undefined : `${program} has version ${found}, expected ${is} (${asked})`;
}

function numbersOf(version: string): number[] {
  return version.split(".").map(Number);
}

function compare(a: number[], b: number[]): number {
  const length = Math.max(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
