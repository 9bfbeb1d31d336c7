import { Buffer } from "node:buffer";
import { createHmac, randomUUID } from "node:crypto";
import { writeExactJson } from "../formats/exact_json.ts";
import type { testKinds } from "../language/checker/test_kinds.ts";
import type { Args } from "../language/kind.ts";
import { toParameters } from "../model/event.ts";
import type { Json } from "../model/json.ts";
import { HANDSHAKE_SECRET } from "./without_tokens.ts";
import type { World } from "./world.ts";

/** The contents of `send: { webhook }`. */
export type SentRequest = Extract<Args<typeof testKinds.send>["send"], { webhook: string }>;

/** The request that a test sends to a webhook, with the signature that the webhook requires. */
export function requestOf(world: World, sent: SentRequest): Request {
  const { webhook, json, form, query = {}, headers: given = {}, signed = true, ...rest } = sent;
  const hook = world.hooks.match(webhook)[0]?.hook;
  const method = rest.method ?? hook?.args.method ?? "POST";
  const body = json !== undefined
    ? writeExactJson(json)
    : form !== undefined
    ? toParameters(form).toString()
    : rest.body ?? "";
  const type = json !== undefined
    ? "application/json"
    : form !== undefined
    ? "application/x-www-form-urlencoded"
    : undefined;
  const [secret] = hook?.args.secret ?? [];
  const isGiven = hook?.args.auth === "asana" && secret === undefined;
  const value = isGiven ? HANDSHAKE_SECRET : secret === undefined ? undefined : world.secretOf(secret);
  const signature = signed && hook && value !== undefined
    ? signatureOf(hook.args.auth, value, body, world.clock.now())
    : {};
  const url = new URL(`http://test/hooks${webhook}`);
  url.search = toParameters(query).toString();
  const headers = { ...type && { "content-type": type }, ...signature, ...given };
  return new Request(url, { method, headers, ...body !== "" && { body } });
}

/**
 * The headers that authenticate a webhook's sender: the counterpart of `triggers/webhook/webhook_auth.ts`.
 * @param secret from the test or from {@link madeUpSecret}
 * @param now milliseconds since the epoch
 */
function signatureOf(auth: Json, secret: string, body: string, now: number): Record<string, string> {
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
    case "asana":
      return { "x-hook-signature": mac("sha256", secret, body, "hex") };
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
