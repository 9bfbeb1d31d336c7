import type { Repeatable } from "../model/event.ts";

/** Maximum fields of a form or a query. Forms for people have dozens, and each field costs time to store and show. */
const MAX_FIELDS = 10_000;

/**
 * Parses the fields of a query or of a urlencoded form. A repeated name has a list. Takes time linear in the text.
 * @param what the source, for the message: `body`
 * @throws Error if there are more than 10,000 fields
 */
export function readFields(text: string, what: string): Record<string, Repeatable> {
  const count = countFields(text);
  if (count > MAX_FIELDS) throw new Error(`The ${what} may have ${MAX_FIELDS} fields, not ${count}`);
  const fields = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(text)) {
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [value]);
    else values.push(value);
  }
  return Object.fromEntries([...fields].map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

/** Counts without parsing, which is slow with many fields. */
function countFields(text: string): number {
  let count = 1;
  for (let at = text.indexOf("&"); at !== -1; at = text.indexOf("&", at + 1)) count++;
  return count;
}
