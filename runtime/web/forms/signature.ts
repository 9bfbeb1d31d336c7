import { createHmac } from "node:crypto";
import type { Json } from "../../model/json.ts";
import { isSameText } from "../../secrets/same_text.ts";

/** Signs facts, HMAC-SHA-256 in base64url. As JSON no two lists of facts read alike. */
export function sign(key: Uint8Array, facts: Json[]): string {
  return createHmac("sha256", key).update(JSON.stringify(facts)).digest("base64url");
}

/** Whether it is the signature of these facts. */
export function isSigned(key: Uint8Array, facts: Json[], signature: string): boolean {
  return isSameText(signature, sign(key, facts));
}
