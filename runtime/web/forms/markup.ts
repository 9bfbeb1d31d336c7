import { html, raw } from "hono/html";

/** Markup in which all external text is escaped. */
export type Markup = ReturnType<typeof html>;

/** Hono's `html` under another name, because the formatter re-indents templates called html, and white space matters here. */
export const markup = html;

/** Attributes of an element: true gives the name alone; false and undefined are left out. */
export function attributes(given: Record<string, string | number | boolean | undefined>): Markup {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined && value !== false);
  return markup`${entries.map(([name, value]) => value === true ? raw(` ${name}`) : markup` ${raw(name)}="${value}"`)}`;
}
