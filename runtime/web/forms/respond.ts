import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { WebContext } from "../context.ts";
import type { Markup } from "./markup.ts";

/** What of a page is not shown, or is sent back as it is: its style, its tags with their attributes, and what is typed. */
const NOT_SHOWN = /<style>[^]*?<\/style>|<textarea[^>]*>[^]*?<\/textarea>|<[^>]*>/g;

/** Answers with a page. What people read on it passes through the mask. */
export function respond(
  c: Context,
  { mask }: Pick<WebContext, "mask">,
  page: Markup,
  status: ContentfulStatusCode = 200,
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  return c.html(maskShown(String(page), mask), status, headers);
}

/** Inputs keep their values: a choice or a text that is equal to a secret is an answer like any other. */
function maskShown(html: string, mask: (text: string) => string): string {
  let masked = "";
  let done = 0;
  for (const { 0: kept, index } of html.matchAll(NOT_SHOWN)) {
    masked += mask(html.slice(done, index)) + kept;
    done = index + kept.length;
  }
  return masked + mask(html.slice(done));
}
