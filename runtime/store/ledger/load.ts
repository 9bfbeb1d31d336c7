import type { Identity } from "./identities.ts";
import type { Rows } from "./rows.ts";

/** Loads an identity from its JSON on disk. */
export function loadIdentity(rows: Rows, hash: string, json: string): void {
  const [key, at, within, runs, flags] = JSON.parse(json) as [number, number, number | null, number, number];
  const identity: Identity = { key, at, ...(within !== null && { within }), runs, replied: flags === 1 };
  rows.identities.put(hash, identity);
}
