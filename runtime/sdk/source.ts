import type { Repeatable } from "../model/event.ts";
import type { Json } from "../model/json.ts";
import type { TypeOnly } from "./event_data.ts";
import type { ConfigSpec, GivenInputs, InputValues } from "./fields.ts";
import type { HttpOptions } from "./generated/options.ts";

/**
 * Sends a request through the program: with the limits of `whenthen.yaml`, causality, and for what changes something an
 * `Idempotency-Key`. A status that is neither 2xx nor in `ok` is thrown; `Retry-After` is honoured by the poll or the step.
 * @example const { body } = await http<{ data: Task[] }>("GET https://example.org/tasks", { query: { project } })
 */
export type Http = <Body = Json>(
  request: string,
  options?: Omit<HttpOptions, "save" | "retry">,
) => Promise<HttpResult<Body>>;

/** What the functions of a source and of an action get. */
export interface SourceScope<I> {
  inputs: InputValues<I>;
  http: Http;
  /** Aborted by the time limit, and when the program or the rule stops. */
  signal: AbortSignal;
}

/** One page of what a source read. */
export interface SourcePage<Item> {
  /** Items as they are now: new, changed, or unchanged. */
  items?: readonly Item[];
  /** The keys of items that no longer exist. */
  removed?: readonly (string | number)[];
  /** Where the next read begins; any JSON. Without it the cursor stays. */
  cursor?: unknown;
  /** There is more: `read` is called again at once, with this page's cursor. */
  more?: boolean;
  /** On the last page: these are all items that exist. What is absent was removed. */
  complete?: boolean;
}

/** Stores items; resolves when they are on disk, with their cursor. */
export type Emit<Item> = (
  items: Item | readonly Item[],
  options?: { cursor?: unknown; removed?: readonly (string | number)[] },
) => Promise<void>;

/** The argument of `source()`: either `read` or `listen` is required. */
export interface SourceSpec<Item, I extends ConfigSpec> {
  /** Its inputs, as fields: `{ project: { type: "text" } }`. */
  inputs?: I;
  /** Names the type of an item if `read` does not: `item: type<Message>()`. */
  item?: TypeOnly<Item>;
  /** CEL over `item`: the identity of an item. */
  key?: string;
  /** Fields whose changes are ignored. */
  ignore?: readonly string[];
  /** CEL over `item`: when it was last changed. An item older than the known one is ignored. */
  at?: string;
  /** The most items of one look. @default 10000 */
  max?: number;
  /**
   * Reads what changed since the cursor; it is null for the first look and after {@link CursorExpired}: then it reads all.
   * @throws CursorExpired if the cursor is no longer valid
   */
  read?(scope: SourceScope<I> & { cursor: Json }): SourcePage<Item> | Promise<SourcePage<Item>>;
  /** Reads one item; null if it no longer exists. */
  one?(scope: SourceScope<I> & { key: string }): NoInfer<Item> | null | Promise<NoInfer<Item> | null>;
  /** Changes one item by a merge patch (RFC 7396). @returns the item as it is now */
  update?(
    scope: SourceScope<I> & { key: string; patch: { [key: string]: Json } },
  ): NoInfer<Item> | Promise<NoInfer<Item>>;
  /**
   * Instead of `read`, for a source that pushes: runs as long as the rule is live, and again after a pause when it returns
   * or throws. Await `emit`, so that no more items come in than can be stored.
   */
  listen?(scope: SourceScope<I> & { cursor: Json; emit: Emit<Item> }): unknown;
}

/** The argument of `action()`. */
export interface ActionSpec<I extends ConfigSpec, Output> {
  inputs?: I;
  run(scope: SourceScope<I>): Output | Promise<Output>;
}

/** A source, an action or a platform as the worker sees it. In data it is the target of a `call`. */
export class CodeDefinition {
  /** Set by the worker: the target under which the program calls a definition. */
  static targetOf: (definition: CodeDefinition) => string = () => "";
  /** The stack of the call of `source` or `action`. */
  readonly stack = new Error().stack ?? "";

  constructor(readonly kind: "source" | "action" | "device", readonly spec: object) {
    definitions.push(this);
  }

  toJSON(): string {
    return CodeDefinition.targetOf(this);
  }
}

/** All sources, actions and platforms that the code of this worker has made, in order. */
export const definitions: CodeDefinition[] = [];

/** A source with its inputs: what `poll` takes. */
export class SourceUse<out Item = unknown> {
  /** Never set; carries the type of the items. */
  declare readonly item?: Item;
  constructor(readonly definition: CodeDefinition, readonly inputs: object) {}
}

type Arguments<I> = Record<never, never> extends GivenInputs<I> ? [inputs?: GivenInputs<I>] : [inputs: GivenInputs<I>];

/** A source; called with its inputs it can be polled: `poll(tasks({ project }), { every: "5m" })`. */
export interface SourceDefinition<Item, I> {
  (...inputs: Arguments<I>): SourceUse<Item>;
  readonly definition: CodeDefinition;
}

/** An action: `step.call(comment, "say", { text })`. */
export class ActionDefinition<in out I = unknown, out Output = unknown> {
  /** Never set; carry the types. */
  declare readonly types?: (inputs: I) => I;
  declare readonly output?: Output;
  constructor(readonly definition: CodeDefinition) {}
}

/** A platform: what `device()` returns. */
export class DeviceDefinition<in out Data = unknown> {
  /** Never set; carries the type of a device's item. */
  declare readonly types?: (item: Data) => Data;
  constructor(readonly definition: CodeDefinition) {}
}

/**
 * Declares a source: what a `poll` reads, or listens to. Export it, so that YAML rules can name it as
 * `package#tasks` or `./file.ts#tasks`.
 */
export function source<Item, const I extends ConfigSpec = Record<never, Json>>(
  spec: SourceSpec<Item, I>,
): SourceDefinition<Item, I> {
  const definition = new CodeDefinition("source", spec);
  const use = (inputs: object = {}) => new SourceUse<Item>(definition, inputs);
  return Object.assign(use, { definition }) as SourceDefinition<Item, I>;
}

/** Declares an action, which a step calls. Export it, so that YAML rules can name it. */
export function action<const I extends ConfigSpec = Record<never, Json>, Output = unknown>(
  spec: ActionSpec<I, Output>,
): ActionDefinition<I, Output> {
  return new ActionDefinition<I, Output>(new CodeDefinition("action", spec));
}

/** The definition that an export is; undefined if it is a plain function or value. */
export function definitionOf(exported: unknown): CodeDefinition | undefined {
  if (exported instanceof ActionDefinition || exported instanceof DeviceDefinition) return exported.definition;
  if (typeof exported !== "function" || !("definition" in exported)) return undefined;
  return exported.definition instanceof CodeDefinition ? exported.definition : undefined;
}

export interface HttpResult<Body> {
  status: number;
  /** Names in lower case; several `set-cookie` are a list. */
  headers: Record<string, Repeatable>;
  body: Body;
}
