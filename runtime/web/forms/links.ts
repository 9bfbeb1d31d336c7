import type { Person } from "../../model/form.ts";
import { isSigned, sign } from "./signature.ts";

/** The contents of a link: the person, and until when it is valid (milliseconds since the epoch). */
export interface Link {
  person: string;
  until: number;
}

/** How long a link is valid if its form has no end. */
const LONGEST = 30 * 86_400_000;

/** Links to one form for one person, without an account. */
export class FormLinks {
  /** @param key of the data folder, for links only */
  constructor(private readonly key: Uint8Array) {}

  /** The query of a link: `for=…&until=…&sig=…`. */
  query(form: string, { id }: Person, expires: number | undefined, now: number): string {
    const until = Math.floor(expires ?? now + LONGEST);
    return String(new URLSearchParams({ for: id, until: String(until), sig: sign(this.key, [form, id, until]) }));
  }

  /** Reads the query of a link; undefined if it was not signed for this form. */
  read(form: string, query: Record<string, string>): Link | undefined {
    const { for: person = "", sig = "" } = query;
    const until = Number(query.until);
    return isSigned(this.key, [form, person, until], sig) ? { person, until } : undefined;
  }
}
