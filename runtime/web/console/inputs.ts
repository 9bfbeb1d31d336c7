import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { WebContext } from "../context.ts";
import { CSRF_INPUT, isFromOurPage } from "../forms/signatures.ts";
import { readRequestBody } from "../request_body.ts";
import { notice, page } from "./shell.ts";
import type { ConsoleEnv } from "./viewer.ts";

const MAX_BODY = 256 * 1_024;

/** The inputs that a page sent, the last one of each name; or the answer if the body is refused. */
export async function readInputs(c: Context, context: WebContext): Promise<Record<string, string> | Response> {
  const body = await readRequestBody(c.req.raw, MAX_BODY);
  if ("bytes" in body) return Object.fromEntries(new URLSearchParams(new TextDecoder().decode(body.bytes)));
  const { error } = await body.refused.json();
  return await page(c, context, notice("Not sent", error), body.refused.status as ContentfulStatusCode);
}

/** The inputs of a form on one of the viewer's own pages; or the answer to a request that another site may have sent. */
export async function readAction(
  c: Context<ConsoleEnv>,
  context: WebContext,
): Promise<Record<string, string> | Response> {
  const inputs = await readInputs(c, context);
  if (inputs instanceof Response) return inputs;
  const { owner } = c.get("viewer");
  // Without an owner, the request has a token in a header, which no page of another site can send.
  if (owner === undefined || isFromOurPage(c, context.desk, inputs[CSRF_INPUT] ?? "", owner)) return inputs;
  return await refuseForeign(c, context);
}

/** Refuses a request that another site's page may have sent. */
export function refuseForeign(c: Context, context: WebContext): Promise<Response> {
  const text =
    "What was sent did not come from this page, or the page was too old. Nothing was changed: open it again.";
  return page(c, context, notice("Not sent", text), 403);
}
