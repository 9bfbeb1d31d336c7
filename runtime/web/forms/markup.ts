import { html, raw } from "hono/html";

/** Markup in which everything that came from outside is escaped. */
export type Markup = ReturnType<typeof html>;

/** Hono's `html`, by a name that leaves its white space to whoever wrote it: the formatter lays out what is called html. */
export const markup = html;

/** Attributes of an element: true stands alone, false and undefined are left out. */
export function attributes(given: Record<string, string | number | boolean | undefined>): Markup {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined && value !== false);
  return markup`${entries.map(([name, value]) => value === true ? raw(` ${name}`) : markup` ${raw(name)}="${value}"`)}`;
}
