import type { Cause } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { TriggerKey } from "./arrival.ts";

/** A write to an item of a poll's source: by which step, and what is sent. */
export interface Patching extends TriggerKey {
  /** The item's. */
  key: string;
  run: string;
  path: string;
  /** A merge patch. */
  sent: JsonObject;
}

/** What a step has written to an item, as its record says it. */
export interface Patched extends TriggerKey {
  /** The name of the source, which other triggers may read, too. */
  source: string;
  key: string;
  sent: JsonObject;
  /** The item as the source answered. */
  answer: Json;
  cause: Cause;
}

/** The last writes of rules to an item. */
export interface WrittenItem extends TriggerKey {
  /** Milliseconds since the epoch. */
  at: number;
  /** All that was sent since the item was first written, and the values that it had then. */
  sent: JsonObject;
  values: JsonObject;
  cause: Cause;
}

/** What is known of writes to some items. */
export interface ItemWrites {
  /** The items that a step of this trigger's rule writes to at the moment. */
  busy: Set<string>;
  /** The last day's writes of all rules to this source. */
  written: Map<string, WrittenItem>;
}

/** The part of the store for writes to the items of polls. */
export interface PatchStore {
  /**
   * Stores that a step is about to write to an item: until its record is final, looks of its trigger leave the item alone, also after a
   * crash.
   * @returns all that this step may have sent, with what an earlier attempt was about to send
   */
  beginPatch(patching: Patching): Promise<JsonObject>;
  /** What is known of writes to these items. */
  getWrites(trigger: TriggerKey, source: string, keys: string[]): Promise<ItemWrites>;
}
