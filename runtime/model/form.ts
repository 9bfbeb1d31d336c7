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
  /** Who may answer: ids of people, names of groups, e-mail addresses; including those that it was escalated to. */
  to: string[];
  fields: Record<string, Field>;
  createdAt: number;
  /** The end of the time to answer it; milliseconds since the epoch. */
  due?: number;
  state: FormState;
  answer?: FormAnswer;
}

export type FormState = "open" | "answered" | "expired" | "cancelled";

/** An answer to a form, and who gave it. */
export interface FormAnswer {
  values: Record<string, Json>;
  /** A person's id, or an e-mail address if the person is not in `people`. */
  by: string;
  at: number;
  /** How it was submitted. */
  via: "page" | "link" | "api";
}

/** The result of a `form` step: the answers plus `by` and `at`. */
export function formOutput({ values, by, at }: FormAnswer): JsonObject {
  return { ...values, by, at: new Date(at).toISOString() };
}

/** Whether a list of ids, groups and e-mail addresses names a person. */
export function isAmong(names: string[], { id, email, groups }: Person): boolean {
  const own = new Set([id, ...groups]);
  const address = email?.toLowerCase();
  return names.some((name) => own.has(name) || name.toLowerCase() === address);
}

/** A person who answers forms: an entry of `people` in `whenthen.yaml`. */
export interface Person {
  /** The key of the entry, or the e-mail address of a person without one. */
  id: string;
  name: string;
  email?: string;
  groups: string[];
  /** `scrypt` hash, created by `whenthen people add`. */
  password?: string;
  /** `sha256` hash of an API token. */
  token?: string;
}
