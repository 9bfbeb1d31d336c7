import type { Repeatable } from "../../model/repeatable.ts";

/** A request below `/hooks`, as it came in. */
export interface WebhookRequest {
  method: string;
  /** As requested, below `/hooks`. */
  path: string;
  params: Record<string, string>;
  /** A name that came several times has a list of its values. */
  query: Record<string, Repeatable>;
  /** Names in lower case; several values joined with ", ". */
  headers: Record<string, string>;
  body: Uint8Array;
}
