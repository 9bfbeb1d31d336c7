import type { Event, HttpRequestFacts } from "../model/event.ts";
import type { Json } from "../model/json.ts";

/** An event whose type and data are known. */
export interface TypedEvent<Type extends string = string, Data = Json> extends Omit<Event, "type" | "data"> {
  type: Type;
  data: Data;
}

/** An event that came in by a webhook. */
export interface WebhookEvent<Type extends string = string, Data = Json> extends TypedEvent<Type, Data> {
  http: HttpRequestFacts;
}

/** The data of a `poll` event. */
export interface Change<Item> {
  /** The item before; null where it was added. */
  old: Item | null;
  /** The item now; null where it was removed. */
  new: Item | null;
  /** What changed, in the format of jsondiffpatch; null where it was added or removed. */
  diff: Json;
}

/** The data of a `watch` event. */
export interface FileChange<Content> {
  /** Absolute. */
  path: string;
  name: string;
  old: FileFacts | null;
  new: FileFacts | null;
  /** What is in it, with `format`; null where it cannot be read so. */
  content?: Content | null;
  /** Why the content cannot be read. */
  error?: string;
}

export interface FileFacts {
  /** In bytes. */
  size: number;
  modified: string;
}
