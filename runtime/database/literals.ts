import type { Buffer } from "node:buffer";

/** A value of a statement. */
export type Value = string | Buffer;

/**
 * A statement with its values in the place of `$1`, `$2`, … As one text it takes one round trip: with separate values the library first asks
 * for their types, unless the server keeps the prepared statement, which behind poolers in transaction mode it need not do.
 * @throws Error if a text has a character that PostgreSQL cannot store
 */
export function withValues(statement: string, values: readonly Value[]): string {
  return statement.replace(/\$(\d+)/g, (_, number) => literal(values[Number(number) - 1]));
}

/** Means the same whatever `standard_conforming_strings` is. */
function literal(value: Value): string {
  if (typeof value !== "string") return ` E'\\\\x${value.toString("hex")}'`;
  // It would end the statement.
  if (value.includes("\0")) throw new Error("Cannot store a text with the character U+0000 in PostgreSQL");
  const quoted = `'${value.replaceAll("'", "''")}'`;
  return value.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}
