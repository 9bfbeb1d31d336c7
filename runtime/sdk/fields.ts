import type { Json } from "../model/json.ts";

/** One entry under `config`: a plain default value, or a field. */
type ConfigEntry = string | number | boolean | readonly Json[] | ConfigField;

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
type ValueOf<E, Missing> = E extends { type: infer T } ? FieldValue<T, E> | Absent<E, Missing> : Widen<E>;

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

/** The fields of a form, declared like `config`: `{ decision: { type: "choice", choices: ["approve", "reject"] } }`. */
export type FormFields = { readonly [name: string]: ConfigEntry | FormField };

/** One field of a form. */
export interface FormField extends ConfigField {
  /** For text: how many lines to show. */
  readonly lines?: number;
}

export interface FormOptions<Fields extends FormFields> {
  /** A person or group in `whenthen.yaml`, or an e-mail address; or a list of these. */
  to: string | readonly string[];
  /** The fields to fill in. */
  fields?: Fields;
  /** How often they are reminded until one has answered: `1d`. */
  remind?: string;
  /** Adds people to the form if nobody has answered by then: `{ after: "2d", to: "cfo" }`. */
  escalate?: { after: string; to: string | readonly string[] };
  /** How long it can be answered: `5d`. Without it the run waits until somebody answers. */
  timeout?: string;
}

/** The answer, with who gave it and when. */
export type FormResult<Fields extends FormFields> =
  & { [Name in keyof Fields]: ValueOf<Fields[Name], null> }
  & {
    /** A person's id in `whenthen.yaml`, or an e-mail address. */
    by: string;
    /** RFC 3339. */
    at: string;
  };
