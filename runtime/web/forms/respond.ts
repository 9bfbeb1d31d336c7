import type { Context } from "hono";
import type { WebContext } from "../context.ts";
import type { Markup } from "./markup.ts";

/** Answers with a page. What is shown passes through the mask, as everything does that leaves. */
export function respond(
  c: Context,
  { mask }: Pick<WebContext, "mask">,
  page: Markup,
  status: 200 | 401 | 403 | 404 | 409 | 410 | 422 | 429 | 500 | 503 = 200,
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  return c.html(mask(String(page)), status, headers);
}
