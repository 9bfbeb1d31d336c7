import type { z } from "zod";
import type { JsonObject } from "../model/json.ts";
import type { Resolved } from "./fields/field.ts";

/**
 * What the checker must know of one kind of trigger or step. The modules in `trigger/` and `action/` extend this with
 * what the kind does; the checker, the templates and the JSON Schema are driven by the tables of these.
 */
export interface Kind {
  /** The key that names it in a rule file: `cron`, `http`. */
  kind: string;
  /** One sentence for editors and messages. */
  summary: string;
  /** Schema of the main argument. */
  main: z.ZodType;
  /** Schemas of the options beside it. Field makers such as `expression()` say which are CEL and which are URLs. */
  options: z.ZodRawShape;
  /** Options that hold a nested list of steps, such as `then` and `else`; unless they are optional, one of them must be there. */
  children?: string[];
  /** What is particular about the steps inside it, whether under `children` or as the `branches()` of its main argument. */
  nested?: Nested;
  /** Whether it decides about steps rather than doing something itself: it cannot be what a poll looks at. */
  controls?: boolean;
  /**
   * What only this kind can find wrong before it runs: options that exclude each other, a cron that never fires. Templates in the
   * arguments are unresolved. Messages without trailing period; `join: ` stands before one that is about that option, `; ` before
   * the remedy.
   */
  check?(args: JsonObject, now: number): string[];
  /** For a trigger: kind and address; what it is called without a name. */
  address?(args: JsonObject): string;
}

/** The schemas of a kind, with their types: the types of its arguments follow from them. */
export interface Schemas<
  Name extends string = string,
  Main extends z.ZodType = z.ZodType,
  Options extends z.ZodRawShape = z.ZodRawShape,
> {
  kind: Name;
  main: Main;
  options: Options;
}

/** The arguments of a kind as its schemas read them: where a template is not resolved yet, its text stands. */
export type ReadArgs<S extends Schemas> = z.output<z.ZodObject<S["options"] & { [Name in S["kind"]]: S["main"] }>>;

/** The arguments of a kind once every template is resolved. */
export type Args<S extends Schemas> = Resolved<ReadArgs<S>>;

/** Arguments that a kind's schemas have read, in which nothing is left to resolve, with their types. */
export function resolvedArgs<S extends Schemas>(_schemas: S, args: JsonObject): Args<S> {
  return args as Args<S>;
}

/** A kind whose functions see the arguments with the types that its schemas give. */
interface KindDefinition<S extends Schemas> extends Omit<Kind, keyof Schemas | "check" | "address"> {
  /** See {@link Kind.check}. */
  check?: (args: ReadArgs<S>, now: number) => string[];
}

/** Defines a kind that only the checker knows; the types of its arguments follow from `main` and `options`. */
export function defineKind<const Name extends string, Main extends z.ZodType, Options extends z.ZodRawShape>(
  kind: Schemas<Name, Main, Options> & KindDefinition<Schemas<Name, Main, Options>>,
): Kind {
  return kind as Kind;
}

/** All kinds, by name. */
export interface Kinds {
  triggers: Record<string, Kind>;
  steps: Record<string, Kind>;
}

/** What the checker must know of steps inside a step. */
export interface Nested {
  /** It may do without them. */
  optional?: boolean;
  /** Names that their expressions see beside those of the step itself. @param args as written */
  names?(args: Record<string, unknown>): string[];
  /** They are performed any number of times, each time apart: their results are not visible behind the step. */
  apart?: boolean;
  /** Its `onError` says what a failure among them does to the others: `stop` them, as it does by default, or `continue`. */
  stops?: boolean;
  /** The step's own expressions see their results and names, as a `while` does. */
  seen?: boolean;
}
