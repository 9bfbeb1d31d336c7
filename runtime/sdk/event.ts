import type { Event, HttpRequestFacts } from "../model/event.ts";
import type { Json } from "../model/json.ts";

/** An event with known type and data. */
export interface TypedEvent<Type extends string = string, Data = Json> extends Omit<Event, "type" | "data"> {
  type: Type;
  data: Data;
}

/** An event from a webhook. */
export interface WebhookEvent<Type extends string = string, Data = Json> extends TypedEvent<Type, Data> {
  http: HttpRequestFacts;
}

/** The data of a `poll` event. */
export interface Change<Item> {
  /** The item before; null if it was added. */
  old: Item | null;
  /** The item now; null if it was removed. */
  new: Item | null;
  /** What changed, in the format of jsondiffpatch; null if it was added or removed. */
  diff: Json;
}

/** The data of a `watch` event. */
export interface FileChange<Content> {
  /** Absolute. */
  path: string;
  name: string;
  old: FileFacts | null;
  new: FileFacts | null;
  /** The content, with `format`; null if it cannot be read in that format. */
  content?: Content | null;
  /** Why the content cannot be read. */
  error?: string;
}

export interface FileFacts {
  /** In bytes. */
  size: number;
  modified: string;
}
