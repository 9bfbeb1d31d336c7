/** Somebody who answers forms: an entry of `people` in `whenthen.yaml`. */
export interface Person {
  /** Its key there; of somebody who is not in there, the e-mail address. */
  id: string;
  name: string;
  email?: string;
  groups: string[];
  /** `scrypt` hash, as `whenthen people add` makes it. */
  password?: string;
  /** `sha256` hash of an API token. */
  token?: string;
}
