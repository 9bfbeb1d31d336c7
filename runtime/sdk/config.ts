import type { Json } from "../model/json.ts";

/** One entry under `config`: a plain default value, or a field. */
export type ConfigEntry = string | number | boolean | readonly Json[] | ConfigField;

/** A field of `config`, as a rule declares it. */
export interface ConfigField {
  readonly type: "text" | "number" | "boolean" | "choice" | "duration" | "date" | "email" | "url" | "list";
  readonly title?: string;
  readonly help?: string;
  readonly default?: Json | readonly Json[];
  readonly required?: boolean;
  readonly choices?: readonly Json[];
  readonly min?: number;
  readonly max?: number;
}

export type ConfigSpec = { readonly [name: string]: ConfigEntry };

/** The config values that a rule's functions see. */
export type ConfigValues<C> = { readonly [Name in keyof C]: ValueOf<C[Name], undefined> };

/** The value of an entry, or `Missing` if it may have none. */
export type ValueOf<E, Missing> = E extends { type: infer T } ? FieldValue<T, E> | Absent<E, Missing> : Widen<E>;

/** Durations, dates and addresses are text. */
type FieldValue<T, E> = T extends "number" ? number
  : T extends "boolean" ? boolean
  : T extends "list" ? Json[]
  : T extends "choice" ? (E extends { choices: readonly (infer Choice)[] } ? Choice : Json)
  : string;

/** A field that is not required and has no default may be missing. */
type Absent<E, Missing> = E extends { default: unknown } ? never : E extends { required: false } ? Missing : never;

type Widen<E> = E extends string ? string
  : E extends number ? number
  : E extends boolean ? boolean
  : E extends readonly (infer Item)[] ? Widen<Item>[]
  : E;
