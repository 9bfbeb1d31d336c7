import { stdout } from "node:process";
import { ratio } from "./numbers.ts";

/** One line of a part. */
export interface Row {
  /** The program, or the measured part of it. */
  what: string;
  /** The number that is compared. */
  value: number;
  unit: string;
  /** More about it, in a few words. */
  note?: string;
}

/** An aim and its result. */
export interface Aim {
  aim: string;
  came: string;
  reached: boolean;
}

/** One part of the benchmark; ratios are against its first row. */
export interface Part {
  title: string;
  rows: Row[];
  aims: Aim[];
}

/** An aim for a number; undefined if the reference is missing. */
export function aimFor(
  aim: string,
  value: number | undefined,
  holds: (value: number) => boolean,
  show: (value: number) => string,
): Aim[] {
  return value === undefined ? [] : [{ aim, came: show(value), reached: holds(value) }];
}

/** `1,234`, `12.3`, `0.81`. */
function showNumber(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Writes a part as a table. */
export function printPart({ title, rows }: Part): void {
  stdout.write(`\n${title}\n`);
  const [first] = rows;
  const width = Math.max(...rows.map(({ what }) => what.length));
  for (const { what, value, unit, note = "" } of rows) {
    const times = unit === first.unit && rows.length > 1 ? ratio(value, first.value) : "";
    const cells = [what.padEnd(width), `${showNumber(value)} ${unit}`.padStart(16), times.padStart(8), ` ${note}`];
    stdout.write(`  ${cells.join(" ").trimEnd()}\n`);
  }
}

/** Writes the results of all aims. */
export function printAims(parts: Part[]): void {
  stdout.write("\nAims\n");
  const aims = parts.flatMap((part) => part.aims);
  const width = Math.max(0, ...aims.map(({ aim }) => aim.length));
  for (const { aim, came, reached } of aims) {
    stdout.write(`  ${reached ? "✓" : "✗"} ${aim.padEnd(width)}  ${came}\n`);
  }
}
