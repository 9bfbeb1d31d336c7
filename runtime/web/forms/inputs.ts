import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { readRequestBody } from "../request_body.ts";
import type { WebContext } from "../context.ts";
import { notice } from "./notices.ts";
import { respond } from "./respond.ts";

const MAX_BODY = 256 * 1_024;

/** The inputs that a page sent, the last one of each name; or the answer if the body is refused. */
export async function readInputs(c: Context, context: WebContext): Promise<Record<string, string> | Response> {
  const body = await readRequestBody(c.req.raw, MAX_BODY);
  if ("bytes" in body) return Object.fromEntries(new URLSearchParams(new TextDecoder().decode(body.bytes)));
  const { error } = await body.refused.json();
  return respond(c, context, notice("Not sent", error), body.refused.status as ContentfulStatusCode);
}
