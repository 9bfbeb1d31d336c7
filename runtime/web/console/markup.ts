import type { Context } from "hono";
import { html, raw } from "hono/html";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { WebContext } from "../context.ts";

/** Markup in which all external text is escaped. */
export type Markup = ReturnType<typeof html>;

/** What a template accepts as a value: text is escaped, `false` and `undefined` produce nothing. */
export type Part = Markup | string | number | false | undefined | Part[];

/** Hono's `html` under another name, because the formatter re-indents templates called html, and white space matters here. */
export const markup = html;

/** Attributes of an element: true gives the name alone; false and undefined are left out. */
export function attributes(given: Record<string, string | number | boolean | undefined>): Markup {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined && value !== false);
  return markup`${entries.map(([name, value]) => value === true ? raw(` ${name}`) : markup` ${raw(name)}="${value}"`)}`;
}

/** Parts with a separator between them; those that are `false` are left out. */
export function joined(parts: Part[], separator = " · "): Part[] {
  return parts.filter((part) => part !== false).map((part, index) => [index > 0 && separator, part]);
}

/** Facts with their labels; those without a value are left out. */
export function factList(facts: [label: string, value: Part][]): Markup {
  const items = facts.filter(([, value]) => value).map(([label, value]) =>
    markup`<dt>${label}</dt><dd>${value}</dd>\n`
  );
  return markup`<dl class="facts">${items}</dl>`;
}

/** An input that a form sends, but does not show. */
export function hiddenInput(name: string, value: string | number): Markup {
  return markup`<input type="hidden" name="${name}" value="${value}">`;
}

/** The parts of a page that are not visible, or must be sent back unchanged: tags with attributes, and typed text. */
const NOT_SHOWN = /<textarea[^>]*>[^]*?<\/textarea>|<[^>]*>/g;

/**
 * Answers with a page or a part of one. Its visible text passes through the mask. Attributes do not, so put no data into them,
 * only ids and what the viewer typed.
 */
export function respond(
  c: Context,
  { mask }: Pick<WebContext, "mask">,
  page: Markup,
  status: ContentfulStatusCode = 200,
  headers: Record<string, string> = {},
): Response | Promise<Response> {
  return c.html(maskShown(String(page), mask), status, headers);
}

/** Inputs keep their values: a choice or a text that equals a secret is still an ordinary answer. */
export function maskShown(html: string, mask: (text: string) => string): string {
  let masked = "";
  let done = 0;
  for (const { 0: kept, index } of html.matchAll(NOT_SHOWN)) {
    masked += mask(html.slice(done, index)) + kept;
    done = index + kept.length;
  }
  return masked + mask(html.slice(done));
}
