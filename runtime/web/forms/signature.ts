import { createHmac } from "node:crypto";
import type { Json } from "../../model/json.ts";
import { isSameText } from "../../secrets/passwords.ts";

/** Signs facts with HMAC-SHA-256, in base64url. They are encoded as JSON, so that no two lists of facts are the same text. */
export function sign(key: Uint8Array, facts: Json[]): string {
  return createHmac("sha256", key).update(JSON.stringify(facts)).digest("base64url");
}

/** Whether a signature is valid for these facts. */
export function isSigned(key: Uint8Array, facts: Json[], signature: string): boolean {
  return isSameText(signature, sign(key, facts));
}
