import { Buffer } from "node:buffer";
import { createHmac, randomUUID } from "node:crypto";
import type { Json } from "../model/json.ts";

/**
 * The headers that authenticate a webhook's sender: the counterpart of `triggers/webhook/webhook_auth.ts`.
 * @param secret from the test or from {@link madeUpSecret}
 * @param now milliseconds since the epoch
 */
export function signatureOf(auth: Json, secret: string, body: string, now: number): Record<string, string> {
  const seconds = String(Math.floor(now / 1_000));
  switch (auth) {
    case "none":
      return {};
    case "standard": {
      const id = `msg_${randomUUID()}`;
      const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
      const signature = createHmac("sha256", key).update(`${id}.${seconds}.${body}`).digest("base64");
      return { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": `v1,${signature}` };
    }
    case "github":
      return { "x-hub-signature-256": `sha256=${mac("sha256", secret, body, "hex")}` };
    case "stripe":
      return { "stripe-signature": `t=${seconds},v1=${mac("sha256", secret, `${seconds}.${body}`, "hex")}` };
    case "slack":
      return {
        "x-slack-request-timestamp": seconds,
        "x-slack-signature": `v0=${mac("sha256", secret, `v0:${seconds}:${body}`, "hex")}`,
      };
    case "basic":
      return { authorization: `Basic ${Buffer.from(secret).toString("base64")}` };
    case "bearer":
      return { authorization: `Bearer ${secret}` };
    default: {
      const { hmac, header, encoding, prefix } = auth as {
        hmac: string;
        header: string;
        encoding: "hex" | "base64";
        prefix: string;
      };
      return { [header]: prefix + mac(hmac, secret, body, encoding) };
    }
  }
}

/** The value of a secret that a test does not set; valid for every scheme. */
export function madeUpSecret(name: string): string {
  return `whsec_${Buffer.from(`made up for tests: ${name}`).toString("base64")}`;
}

function mac(algorithm: string, key: string, text: string, encoding: "hex" | "base64"): string {
  return createHmac(algorithm, key).update(text).digest(encoding);
}
