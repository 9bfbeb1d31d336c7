import type { ConfigEntry, ConfigField, ValueOf } from "./config.ts";

/** The fields of a form, as those of `config`: `{ decision: { type: "choice", choices: ["approve", "reject"] } }`. */
export type FormFields = { readonly [name: string]: ConfigEntry | FormField };

/** One field of a form. */
export interface FormField extends ConfigField {
  /** For text: how many lines to show. */
  readonly lines?: number;
}

export interface FormOptions<Fields extends FormFields> {
  /** A person or group in `whenthen.yaml`, or an e-mail address; or several. */
  to: string | readonly string[];
  /** What they fill in. */
  fields?: Fields;
  /** How often they are told again until one has answered: `1d`. */
  remind?: string;
  /** Adds people to the form when nobody has answered: `{ after: "2d", to: "cfo" }`. */
  escalate?: { after: string; to: string | readonly string[] };
  /** How long it can be answered: `5d`. Without it the run waits until somebody answers. */
  timeout?: string;
}

/** What was answered, by whom and when. */
export type FormResult<Fields extends FormFields> =
  & { [Name in keyof Fields]: ValueOf<Fields[Name], null> }
  & {
    /** A person's id in `whenthen.yaml`, or an e-mail address. */
    by: string;
    /** RFC 3339. */
    at: string;
  };
