import type { Person } from "../../model/person.ts";
import { isSigned, sign } from "./signature.ts";

/** What a link says: who comes by it, and until when it counts (milliseconds since the epoch). */
export interface Link {
  person: string;
  until: number;
}

/** How long a link counts where its form has no end. */
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

  /** What the query of a link says; undefined where it was not signed for this form. */
  read(form: string, query: Record<string, string>): Link | undefined {
    const { for: person = "", sig = "" } = query;
    const until = Number(query.until);
    return isSigned(this.key, [form, person, until], sig) ? { person, until } : undefined;
  }
}
