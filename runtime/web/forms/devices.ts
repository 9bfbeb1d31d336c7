import { randomBytes } from "node:crypto";
import type { Person } from "../../model/form.ts";
import { isSigned, sign } from "./signature.ts";

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
