/**
 * JSON values, which can be stored, sent and recorded. A bigint is a whole number beyond ±2^53, which no double represents
 * exactly; smaller ones are numbers.
 */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** A JSON object. */
export type JsonObject = { [key: string]: Json };

/** Whether a value is an object, and not a list or null. */
export function isObject(value: Json | undefined): value is JsonObject;
export function isObject(value: unknown): value is Record<string, unknown>;
export function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A value that an interface describes, as JSON: TypeScript gives an interface no index signature. All that is in it must be
 * JSON; undefined members are left out when it is written.
 */
export function asJson(value: readonly object[]): JsonObject[];
export function asJson(value: object): JsonObject;
export function asJson(value: object): Json {
  return value as Json;
}
