import type { Json } from "../model/json.ts";

export interface WaitOptions {
  /** A time at which it ends at the latest. */
  until?: string;
  /** Time zone of a time such as `09:00`. @default the variable TZ, else UTC */
  timezone?: string;
}

export interface WaitForOptions {
  /** Values that the event must have, by path: `{ "data.id": order.id }`. */
  match?: { readonly [path: string]: Json | readonly Json[] };
  /** How long to wait: `3d`. Without it the run waits until the event comes. */
  timeout?: string;
}
