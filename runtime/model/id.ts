import { randomBytes } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
/** All pairs of digits: an id is made of half as many pieces. */
const PAIRS = Array.from({ length: 32 ** 2 }, (_, value) => ALPHABET[value >> 5] + ALPHABET[value & 31]);
/** Random bytes are fetched in bulk: one call costs as much as the rest of an id. */
let random = new Uint8Array();
let used = 0;
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

/** @param count even */
function randomDigits(count: number): string {
  if (random.length - used < count) [random, used] = [new Uint8Array(randomBytes(4096)), 0];
  let text = "";
  for (const end = used + count; used < end; used += 2) text += PAIRS[(random[used] & 31) << 5 | random[used + 1] & 31];
  return text;
}

/** A number as this many digits, base 32 without i, l, o, u. Texts of one length sort like their numbers. */
export function base32(value: number, length: number): string {
  let text = "";
  let rest = value;
  for (; text.length < length - 1; rest = Math.floor(rest / 1024)) text = PAIRS[rest % 1024] + text;
  return text.length < length ? ALPHABET[rest % 32] + text : text;
}

/** The number that {@link base32} has written. */
export function fromBase32(text: string): number {
  return [...text].reduce((value, digit) => value * 32 + ALPHABET.indexOf(digit), 0);
}
