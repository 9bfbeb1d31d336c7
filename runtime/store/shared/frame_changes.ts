import type { Buffer } from "node:buffer";
import { readFrame, rowNameOf, visitFrame } from "../log/log_frame.ts";
import type { Change } from "../shared_store.ts";

/** Collects what the rows of a frame say about changes by others. */
export class FrameChanges {
  readonly #owner: string;
  readonly #runs: string[] = [];
  readonly #tables = new Set<string>();
  #isClaimable = false;

  /** @param me this replica */
  constructor(me: string) {
    this.#owner = `"owner":${JSON.stringify(me)}`;
  }

  /** @param text JSON of a row that was put */
  put(table: string, key: string, text: Buffer): void {
    this.#tables.add(table);
    // The store writes all rows alike. Most have none of these texts and are not parsed, and a text in a rule's data does no harm.
    if (table === "lane") this.#isClaimable ||= text.includes('"nextAt":');
    if (table !== "run" || !text.includes(this.#owner)) return;
    if (text.includes('"woken":true') || text.includes('"ending":{')) this.#runs.push(key);
  }

  drop(table: string): void {
    this.#tables.add(table);
  }

  /** All changes; undefined if there are none. */
  finish(): Change | undefined {
    if (this.#tables.size === 0) return undefined;
    return { runs: this.#runs, tables: this.#tables, isClaimable: this.#isClaimable };
  }
}

/** The changes in the bytes of a frame. */
export function changesOf(frame: Uint8Array, me: string): Change | undefined {
  const changes = new FrameChanges(me);
  const { payload } = readFrame(frame, 0)!;
  visitFrame(payload, {
    row(line) {
      const { table, key } = rowNameOf(payload, line);
      if (line.from === line.to) changes.drop(table);
      else changes.put(table, key, payload.subarray(line.from, line.to));
    },
    id() {},
    history() {},
  });
  return changes.finish();
}
