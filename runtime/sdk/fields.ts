import type { SavedFile } from "../model/event.ts";
import type { Duration } from "./durations.ts";
import type { Json } from "../model/json.ts";
import type { Field } from "../model/rule.ts";

/** One entry under `config` or `inputs`: a plain default value, or a field. */
type ConfigEntry = string | number | boolean | readonly Json[] | ConfigField;

/** What a value has to be. */
interface ValueSpec {
  readonly type: Field["type"];
  /** A value is one of these. For a secret: names of secrets. */
  readonly choices?: readonly Json[];
  readonly min?: number;
  readonly max?: number;
  /** A regular expression that matches the whole text. */
  readonly pattern?: string;
  /** For a path: the absolute folder that it is in; without it the path is relative. */
  readonly under?: string;
}

/** A field of `config` or `inputs`, as a rule declares it. */
export interface ConfigField extends ValueSpec {
  readonly title?: string;
  readonly help?: string;
  readonly default?: Json | readonly Json[];
  readonly required?: boolean;
  /** For an address or the name of a host: the only hosts that it may be, such as `app.asana.com`. */
  readonly hosts?: readonly string[];
  /** For a list: the type of its items, or `{ type: "integer", min: 1 }`. */
  readonly of?: Field["type"] | ValueSpec;
  /** Fields that must be set, too, if it is set. */
  readonly requires?: readonly (string | { readonly any: readonly string[] })[];
  /** Fields that must not be set if it is set. */
  readonly conflicts?: readonly string[];
}

/** Fields by name; `oneOf` has groups of which exactly one field is set. */
export type ConfigSpec = { readonly [name: string]: ConfigEntry | Groups };

type Groups = readonly (readonly string[])[];

/** The config values that a rule's functions see. */
export type ConfigValues<C> = {
  readonly [Name in Exclude<keyof C, "oneOf">]: ValueOf<C[Name], undefined> | Ungiven<C, Name, undefined>;
};

/** The values of a rule's inputs; null for a field without a default that was not set. */
export type InputValues<I> = {
  readonly [Name in Exclude<keyof I, "oneOf">]: ValueOf<I[Name], null> | Ungiven<I, Name, null>;
};

/** The values to give for fields: those without a default that are required, and any of the others. */
export type GivenInputs<I> =
  & { readonly [Name in Exclude<keyof I, "oneOf"> as Needed<I, Name>]: ValueOf<I[Name], never> }
  & { readonly [Name in Exclude<keyof I, "oneOf">]?: ValueOf<I[Name], never> };

/** The name of a field that must be given. */
type Needed<I, Name extends keyof I> = I[Name] extends { type: unknown }
  ? I[Name] extends { default: unknown } | { required: false } ? never
  : [Ungiven<I, Name, null>] extends [never] ? Name
  : never
  : never;

/** The value of an entry, or `Missing` if it may have none. */
type ValueOf<E, Missing> = E extends { type: infer T } ? FieldValue<T, E> | Absent<E, Missing> : Widen<E>;

/** Durations, dates, addresses and paths are text; a secret is the name of one. */
type FieldValue<T, E> = T extends "list" ? ItemOf<E>[]
  : E extends { choices: readonly (infer Choice)[] } ? Choice
  : T extends "number" | "integer" | "port" ? number
  : T extends "boolean" ? boolean
  : T extends "choice" ? Json
  : T extends "file" ? SavedFile
  : string;

type ItemOf<E> = E extends { of: { type: infer T } } ? FieldValue<T, E["of"]>
  : E extends { choices: readonly (infer Choice)[] } ? Choice
  : E extends { of: infer T } ? FieldValue<T, unknown>
  : Json;

/** A field that is not required and has no default may be missing. */
type Absent<E, Missing> = E extends { default: unknown } ? never : E extends { required: false } ? Missing : never;

/** A field of a group may be missing: another one is set. */
type Ungiven<C, Name, Missing> = C extends { oneOf: readonly (readonly (infer Grouped)[])[] }
  ? Name extends Grouped ? Missing : never
  : never;

type Widen<E> = E extends string ? string
  : E extends number ? number
  : E extends boolean ? boolean
  : E extends readonly (infer Item)[] ? Widen<Item>[]
  : E;

/** The fields of a form, declared like `config`: `{ decision: { type: "choice", choices: ["approve", "reject"] } }`. */
export type FormFields = { readonly [name: string]: ConfigEntry | FormField | Groups };

/** One field of a form. Only a form asks for files: `{ type: "file", max: 5_000_000 }`, by default of at most 10 MB. */
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
  remind?: Duration;
  /** Adds people to the form if nobody has answered by then: `{ after: "2d", to: "cfo" }`. */
  escalate?: { after: Duration; to: string | readonly string[] };
  /** How long it can be answered: `5d`. Without it the run waits until somebody answers. */
  timeout?: Duration;
}

/** The answer, with who gave it and when. */
export type FormResult<Fields extends FormFields> =
  & { [Name in Exclude<keyof Fields, "oneOf">]: ValueOf<Fields[Name], null> | Ungiven<Fields, Name, null> }
  & {
    /** A person's id in `whenthen.yaml`, or an e-mail address. */
    by: string;
    /** RFC 3339. */
    at: string;
  };
