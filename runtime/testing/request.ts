import { writeExactJson } from "../formats/exact_json.ts";
import type { testKinds } from "../language/checker/test_kinds.ts";
import type { Args } from "../language/kind.ts";
import { toParameters } from "../model/repeatable.ts";
import { signatureOf } from "./sign.ts";
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
  const signature = signed && hook && secret !== undefined
    ? signatureOf(hook.args.auth, world.secretOf(secret), body, world.clock.now())
    : {};
  const url = new URL(`http://test/hooks${webhook}`);
  url.search = toParameters(query).toString();
  const headers = { ...type && { "content-type": type }, ...signature, ...given };
  return new Request(url, { method, headers, ...body !== "" && { body } });
}
