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
