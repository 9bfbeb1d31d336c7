import type { Context } from "hono";
import { readBody } from "../body.ts";

const MAX_BODY = 256 * 1_024;

/** What a page sent, the last of inputs with one name; or the answer to a body that is not taken. */
export async function readInputs(c: Context): Promise<Record<string, string> | Response> {
  const body = await readBody(c.req.raw, MAX_BODY);
  if ("refused" in body) return body.refused;
  return Object.fromEntries(new URLSearchParams(new TextDecoder().decode(body.bytes)));
}
