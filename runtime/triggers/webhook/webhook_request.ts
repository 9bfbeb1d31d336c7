import type { Repeatable } from "../../model/repeatable.ts";

/** A request below `/hooks`, as received. */
export interface WebhookRequest {
  method: string;
  /** The requested path, below `/hooks`. */
  path: string;
  params: Record<string, string>;
  /** A repeated name has a list of its values. */
  query: Record<string, Repeatable>;
  /** Names in lower case; several values joined with ", ". */
  headers: Record<string, string>;
  body: Uint8Array;
}
