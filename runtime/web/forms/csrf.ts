import type { Context } from "hono";
import type { FormDesk } from "./desk.ts";
import { isSigned, sign } from "./signature.ts";

/** The hidden input that proves that a form was sent from our own page; no field's name has a dash. */
export const CSRF_INPUT = "csrf-token";

/** The token of a page that was made for one session or link. @param owner the session's cookie, or the link's signature */
export function csrfToken({ csrfKey }: FormDesk, owner: string): string {
  return sign(csrfKey, [owner]);
}

/**
 * Whether the request was sent from one of our own pages: browsers send its origin, and the token shows for whom the page
 * was made.
 * @param owner as for {@link csrfToken}; undefined if nobody is known yet, as at the sign-in
 */
export function isFromOurPage(c: Context, desk: FormDesk, token: string, owner: string | undefined): boolean {
  if (!isOurOrigin(c, desk)) return false;
  return owner === undefined || isSigned(desk.csrfKey, [owner], token);
}

function isOurOrigin(c: Context, { address }: FormDesk): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") return false;
  const origin = c.req.header("origin");
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  // A proxy may have replaced the public host name by its own name for us.
  const ours = [new URL(address()).host, c.req.header("host") ?? new URL(c.req.url).host];
  return ours.includes(new URL(origin).host);
}
