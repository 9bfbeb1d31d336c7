import type { Json } from "../model/json.ts";

/** Adds to an error what the action received before it failed, for the trace and `onError`. */
export function withDetail<E extends Error>(error: E, detail: Json): E & { detail: Json } {
  return Object.assign(error, { detail });
}
