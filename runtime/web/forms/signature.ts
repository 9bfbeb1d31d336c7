import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Json } from "../../model/json.ts";

/** Signs facts, HMAC-SHA-256 in base64url. As JSON no two lists of facts read alike. */
export function sign(key: Uint8Array, facts: Json[]): string {
  return createHmac("sha256", key).update(JSON.stringify(facts)).digest("base64url");
}

/** Whether it is the signature of these facts. */
export function isSigned(key: Uint8Array, facts: Json[], signature: string): boolean {
  const right = Buffer.from(sign(key, facts));
  const given = Buffer.from(signature);
  return given.length === right.length && timingSafeEqual(given, right);
}
