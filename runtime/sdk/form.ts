import type { ConfigEntry, ConfigField, ValueOf } from "./config.ts";

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
  /** What they fill in. */
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
