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

interface FileFacts {
  /** In bytes. */
  size: number;
  modified: string;
}

/** The part of the Standard Schema interface that whenthen uses (https://standardschema.dev, version 1). */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** The result of a validator: a value, or its problems. */
type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A type without a validator: names the type of an event's data and checks nothing. */
export interface TypeOnly<T> {
  readonly typeOnly: true;
  /** Never set; carries the type. */
  readonly value?: T;
}

/**
 * Names the type of an event's data if no validator is wanted.
 * @example event("order.created", type<Order>())
 */
export function type<T>(): TypeOnly<T> {
  return { typeOnly: true };
}

/**
 * Runs a validator over `value`.
 * @returns the validated value, or one line for each problem: `data.amount: expected number`
 */
export async function validate(
  schema: StandardSchema,
  value: unknown,
): Promise<{ value: unknown } | { problems: string[] }> {
  const result = await schema["~standard"].validate(value);
  if (!result.issues) return { value: result.value };
  return { problems: result.issues.map((issue) => `${pathOf(issue)}: ${issue.message}`) };
}

function pathOf(issue: SchemaIssue): string {
  const keys = (issue.path ?? []).map((part) => typeof part === "object" ? part.key : part);
  return ["data", ...keys.map(String)].join(".");
}
