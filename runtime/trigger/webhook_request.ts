/** A request below `/hooks`, as it came in. */
export interface WebhookRequest {
  method: string;
  /** As requested, below `/hooks`. */
  path: string;
  params: Record<string, string>;
  query: Record<string, string>;
  /** Names in lower case; several values joined with ", ". */
  headers: Record<string, string>;
  body: Uint8Array;
}
