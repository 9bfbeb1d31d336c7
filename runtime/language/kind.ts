import type { z } from "zod";
import type { JsonObject } from "../model/json.ts";
import type { Resolved } from "./arg_types.ts";

/**
 * The description of one kind of trigger or step for the checker. The modules in `triggers/` and `actions/` extend it with
 * the implementation. The checker, the templates and the JSON Schema use the tables of kinds.
 */
export interface Kind {
  /** The key that names it in a rule file: `cron`, `http`. */
  kind: string;
  /** One sentence for editors and messages. */
  summary: string;
  /** Schema of the main argument. */
  main: z.ZodType;
  /** Schemas of the options besides it. Field makers such as `expression()` mark which are CEL and which are URLs. */
  options: OptionSchemas;
  /** Options that hold a nested list of steps, such as `then` and `else`. Unless they are optional, one of them is required. */
  children?: string[];
  /** The properties of the steps inside it, either under `children` or as the `branches()` of its main argument. */
  nested?: Nested;
  /** Whether it only controls other steps: it cannot be the source of a poll. */
  controls?: boolean;
  /**
   * Finds problems specific to this kind before it runs: options that exclude each other, a cron that never fires. Templates in the
   * arguments are unresolved. A message has no trailing period. It may begin with the option that it is about (`join: `), and end with
   * a remedy after `; `.
   */
  check?(args: JsonObject, now: number): string[];
  /** Finds what does not do what it seems to, such as a time in the past; `; ` precedes the remedy. */
  warn?(args: JsonObject, now: number): string[];
  /** For a trigger: kind and address, which is its id if it has no name. */
  address?(args: JsonObject): string;
}

/** The schemas of options, by name. */
export type OptionSchemas = Readonly<Record<string, z.ZodType>>;

/** The schemas of a kind, with their types: the types of its arguments follow from them. */
export interface Schemas<
  Name extends string = string,
  Main extends z.ZodType = z.ZodType,
  Options extends OptionSchemas = OptionSchemas,
> {
  kind: Name;
  main: Main;
  options: Options;
}

/** The arguments of a kind as its schemas read them: an unresolved template is its text. */
export type ReadArgs<S extends Schemas> = z.output<z.ZodObject<S["options"] & { [Name in S["kind"]]: S["main"] }>>;

/** The arguments of a kind after every template is resolved. */
export type Args<S extends Schemas> = Resolved<ReadArgs<S>>;

/** Gives parsed arguments, whose templates are unresolved, their types. */
export function readArgs<S extends Schemas>(_schemas: S, args: JsonObject): ReadArgs<S> {
  return args as ReadArgs<S>;
}

/** Gives parsed arguments whose templates are all resolved their types. */
export function resolvedArgs<S extends Schemas>(_schemas: S, args: JsonObject): Args<S> {
  return args as Args<S>;
}

/** A kind whose functions see the arguments with the types that its schemas give. */
interface KindDefinition<S extends Schemas> extends Omit<Kind, keyof Schemas | "check" | "address"> {
  /** See {@link Kind.check}. */
  check?: (args: ReadArgs<S>, now: number) => string[];
}

/** Defines a kind that only the checker knows; the types of its arguments follow from `main` and `options`. */
export function defineKind<const Name extends string, Main extends z.ZodType, Options extends OptionSchemas>(
  kind: Schemas<Name, Main, Options> & KindDefinition<Schemas<Name, Main, Options>>,
): Omit<Kind, keyof Schemas> & Schemas<Name, Main, Options> {
  return kind as Omit<Kind, keyof Schemas> & Schemas<Name, Main, Options>;
}

/** All kinds, by name. */
export interface Kinds {
  triggers: Record<string, Kind>;
  steps: Record<string, Kind>;
}

/** Properties of the steps inside a step, for the checker. */
export interface Nested {
  /** Whether they are optional. */
  optional?: boolean;
  /** Names that their expressions can use in addition to those of the step itself. @param args as written */
  names?(args: Record<string, unknown>): string[];
  /** Whether they run in separate iterations: their results are not visible after the step. */
  apart?: boolean;
  /** Whether `onError` decides what a failure of one does to the others: `stop` them, the default, or `continue`. */
  stops?: boolean;
  /** Whether the step's own expressions can use their results and names, as with `while`. */
  seen?: boolean;
}
