import { createHmac, randomBytes } from "node:crypto";
import type { Context } from "hono";
import type { Json } from "../../model/json.ts";
import type { Person } from "../../model/form.ts";
import { isSameText } from "../../secrets/passwords.ts";

/** Signs facts with HMAC-SHA-256, in base64url. They are encoded as JSON, so that no two lists of facts are the same text. */
export function sign(key: Uint8Array, facts: Json[]): string {
  return createHmac("sha256", key).update(JSON.stringify(facts)).digest("base64url");
}

/** Whether a signature is valid for these facts. */
export function isSigned(key: Uint8Array, facts: Json[], signature: string): boolean {
  return isSameText(signature, sign(key, facts));
}

/** The contents of a link: the person, and until when it is valid (milliseconds since the epoch). */
export interface Link {
  person: string;
  until: number;
}

/** How long a link is valid if its form does not expire. */
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

/** Seconds for which a browser is remembered: the longest that browsers keep a cookie (RFC 6265bis). */
export const DEVICE_LIFE = 400 * 86_400;

/**
 * Browsers with which somebody has signed in before, remembered by a cookie that gives no access. Wrong guesses from
 * elsewhere do not count against them:
 * https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies.
 */
export class Devices {
  /** @param key of the data folder, for devices only */
  constructor(private readonly key: Uint8Array) {}

  /** The cookie for a browser with which this person has just signed in. */
  open({ id }: Person): string {
    const nonce = randomBytes(12).toString("base64url");
    return `${nonce}.${sign(this.key, [id, nonce])}`;
  }

  /** The id under which the browser's attempts are counted; undefined if this person has not signed in with it. */
  read(cookie: string | undefined, person: Person | undefined): string | undefined {
    const [nonce = "", signature = ""] = (cookie ?? "").split(".");
    return person !== undefined && isSigned(this.key, [person.id, nonce], signature) ? nonce : undefined;
  }
}

/** The hidden input that proves that a form was sent from our own page; no field's name has a dash. */
export const CSRF_INPUT = "csrf-token";

/** The token of a page that was made for one session or link. @param owner the session's cookie, or the link's signature */
export function csrfToken({ csrfKey }: { csrfKey: Uint8Array }, owner: string): string {
  return sign(csrfKey, [owner]);
}

/**
 * Whether the request was sent from one of our own pages: browsers send its origin, and the token shows for whom the page
 * was made.
 * @param desk the key of the tokens, and where people reach the program
 * @param owner as for {@link csrfToken}; undefined if nobody is known yet, as at the sign-in
 */
export function isFromOurPage(
  c: Context,
  desk: { csrfKey: Uint8Array; address(): string },
  token: string,
  owner: string | undefined,
): boolean {
  if (!isOurOrigin(c, desk.address())) return false;
  return owner === undefined || isSigned(desk.csrfKey, [owner], token);
}

function isOurOrigin(c: Context, address: string): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") return false;
  const origin = c.req.header("origin");
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  // A proxy may have replaced the public host name by its own name for us.
  const ours = [new URL(address).host, c.req.header("host") ?? new URL(c.req.url).host];
  return ours.includes(new URL(origin).host);
}
