import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { WebContext } from "../context.ts";
import type { Markup } from "./markup.ts";

/** Answers with a page. What is shown passes through the mask, as everything does that leaves. */
export function respond(
  c: Context,
  { mask }: Pick<WebContext, "mask">,
  page: Markup,
  status: ContentfulStatusCode = 200,
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  return c.html(mask(String(page)), status, headers);
}
