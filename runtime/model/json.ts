/**
 * JSON values, which can be stored, sent and recorded. A bigint is a whole number beyond ±2^53, which no double represents
 * exactly; smaller ones are numbers.
 */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** A JSON object. */
export type JsonObject = { [key: string]: Json };

/**
 * A value that an interface describes, as JSON: TypeScript gives an interface no index signature. All that is in it must be
 * JSON; members that are undefined are left out where it is written.
 */
export function asJson(value: readonly object[]): JsonObject[];
export function asJson(value: object): JsonObject;
export function asJson(value: object): Json {
  return value as Json;
}
