import { Buffer } from "node:buffer";
import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** log2 of N, r and p: 32 MB and a little over a tenth of a second (OWASP Password Storage Cheat Sheet, scrypt). */
const COST = { ln: 15, r: 8, p: 3 };
const SALT = 16;
const KEY = 32;
/**
 * Dots instead of the usual `$` and commas, so that a hash needs no quotes in a shell or in YAML, even between braces.
 */
const PASSWORD_HASH = /^scrypt\.(1[0-7])\.([1-9]|1[0-6])\.([1-8])\.([\w-]{22})\.([\w-]{43})$/;
const TOKEN_HASH = /^sha256\.[\w-]{43}$/;

/** The hash of a password, with its salt and cost: `scrypt.15.8.3.<salt>.<key>`. */
export async function hashPassword(password: string): Promise<string> {
  const { ln, r, p } = COST;
  const salt = randomBytes(SALT);
  const key = await derive(password, salt, COST);
  return ["scrypt", ln, r, p, salt.toString("base64url"), key.toString("base64url")].join(".");
}

/** True if a text has the form of {@link hashPassword}'s hashes. */
export function isPasswordHash(text: string): boolean {
  return PASSWORD_HASH.test(text);
}

/** Whether a password matches a hash. A wrong password takes the same time. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const [, ln, r, p, salt, key] = PASSWORD_HASH.exec(hash)!;
  const given = await derive(password, Buffer.from(salt, "base64url"), { ln: Number(ln), r: Number(r), p: Number(p) });
  return isSameText(given.toString("base64url"), key);
}

/** A new API token, long enough that its hash needs neither salt nor cost. */
export function newToken(): string {
  return `wt_${randomBytes(KEY).toString("base64url")}`;
}

/** The hash of an API token: `sha256.<digest>`. */
export function hashToken(token: string): string {
  return `sha256.${createHash("sha256").update(token).digest("base64url")}`;
}

/** True if a text has the form of {@link hashToken}'s hashes. */
export function isTokenHash(text: string): boolean {
  return TOKEN_HASH.test(text);
}

/** Whether a token matches a hash. */
export function verifyToken(token: string, hash: string): boolean {
  return isSameText(hashToken(token), hash);
}

function derive(password: string, salt: Uint8Array, { ln, r, p }: typeof COST): Promise<Buffer> {
  const N = 2 ** ln;
  return new Promise((resolve, reject) => {
    // Keyboards may encode the same text with different code points (Unicode normalization).
    scrypt(password.normalize("NFC"), salt, KEY, { N, r, p, maxmem: 256 * N * r }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

/**
 * Compares a given text with the expected one in constant time: the duration reveals neither the position of a
 * difference nor whether the lengths are equal.
 */
export function isSameText(given: string, right: string): boolean {
  const expected = Buffer.from(right);
  const compared = Buffer.alloc(expected.length);
  compared.write(given);
  const isSame = timingSafeEqual(compared, expected);
  return isSame && Buffer.byteLength(given) === expected.length;
}
