import { randomBytes } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
/** Random bytes are fetched in bulk: one call costs as much as the rest of an id. */
let random = new Uint8Array();
let lastTime = 0;
let lastCount = 0;

/**
 * A new id that sorts by time: 9 characters of milliseconds, 3 of a count within the millisecond, 8 random ones
 * (base 32 without i, l, o, u). Ids made by one process are strictly increasing, even after a clock rollback.
 * @param now milliseconds since the epoch
 */
export function newId(now: number): string {
  if (now > lastTime) [lastTime, lastCount] = [now, 0];
  else if (++lastCount === 32 ** 3) [lastTime, lastCount] = [lastTime + 1, 0];
  return base32(lastTime, 9) + base32(lastCount, 3) + randomDigits(8);
}

function randomDigits(count: number): string {
  if (random.length < count) random = new Uint8Array(randomBytes(4096));
  let text = "";
  for (let at = 0; at < count; at++) text += ALPHABET[random[at] & 31];
  random = random.subarray(count);
  return text;
}

/** A number as this many digits, base 32 without i, l, o, u. Texts of one length sort like their numbers. */
export function base32(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) text = ALPHABET[rest % 32] + text;
  return text;
}

/** The number that {@link base32} has written. */
export function fromBase32(text: string): number {
  return [...text].reduce((value, digit) => value * 32 + ALPHABET.indexOf(digit), 0);
}
