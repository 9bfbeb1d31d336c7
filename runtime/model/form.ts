import type { Json, JsonObject } from "./json.ts";
import type { Field } from "./rule.ts";

/** A question to people that a run waits for. */
export interface Form {
  id: string;
  run: string;
  rule: string;
  /** The path of its step. */
  step: string;
  title: string;
  /** Who may answer: ids of people, names of groups, e-mail addresses; those that it was escalated to included. */
  to: string[];
  fields: Record<string, Field>;
  createdAt: number;
  /** When nobody can answer it any more; milliseconds since the epoch. */
  due?: number;
  state: FormState;
  answer?: FormAnswer;
}

export type FormState = "open" | "answered" | "expired" | "cancelled";

/** Who answered a form, and what. */
export interface FormAnswer {
  values: Record<string, Json>;
  /** A person's id, or the e-mail address of somebody who is not in `people`. */
  by: string;
  at: number;
  /** How it came in. */
  via: "page" | "link" | "api";
}

/** The result of a `form` step: the answers plus `by` and `at`. */
export function formOutput({ values, by, at }: FormAnswer): JsonObject {
  return { ...values, by, at: new Date(at).toISOString() };
}
