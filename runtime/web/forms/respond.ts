import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { WebContext } from "../context.ts";
import type { Markup } from "./markup.ts";

/**
 * The parts of a page that are not shown, or must be sent back unchanged: its style, its tags with attributes, and typed
 * text.
 */
const NOT_SHOWN = /<style>[^]*?<\/style>|<textarea[^>]*>[^]*?<\/textarea>|<[^>]*>/g;

/** Answers with a page. Its visible text passes through the mask. */
export function respond(
  c: Context,
  { mask }: Pick<WebContext, "mask">,
  page: Markup,
  status: ContentfulStatusCode = 200,
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  return c.html(maskShown(String(page), mask), status, headers);
}

/** Inputs keep their values: a choice or a text that equals a secret is an answer like any other. */
function maskShown(html: string, mask: (text: string) => string): string {
  let masked = "";
  let done = 0;
  for (const { 0: kept, index } of html.matchAll(NOT_SHOWN)) {
    masked += mask(html.slice(done, index)) + kept;
    done = index + kept.length;
  }
  return masked + mask(html.slice(done));
}
