/**
 * JSON values, which can be stored, sent and recorded. A bigint is a whole number beyond ±2^53, which no double represents
 * exactly; smaller ones are numbers.
 */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** A JSON object. */
export type JsonObject = { [key: string]: Json };
