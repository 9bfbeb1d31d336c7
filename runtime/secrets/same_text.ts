import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";

/**
 * Compares a text that somebody gave with the right one, in a time that tells nothing about where they differ, nor whether they
 * are of one length.
 */
export function isSameText(given: string, right: string): boolean {
  const expected = Buffer.from(right);
  const compared = Buffer.alloc(expected.length);
  compared.write(given);
  const isSame = timingSafeEqual(compared, expected);
  return isSame && Buffer.byteLength(given) === expected.length;
}
