/** The value of a name, or a list of its values in order if it is repeated. */
export type Repeatable = string | string[];

/**
 * The headers as data, names in lower case. Several `Set-Cookie` are a list; several of any other name are one, joined with ", ",
 * which means the same (RFC 9110, section 5.3).
 */
export function headerFields(headers: Headers): Record<string, Repeatable> {
  const fields: Record<string, Repeatable> = Object.fromEntries(headers);
  const cookies = headers.getSetCookie();
  return cookies.length > 1 ? { ...fields, "set-cookie": cookies } : fields;
}

/**
 * The headers of {@link headerFields}; a list repeats its name.
 * @throws TypeError if HTTP does not allow a name or a value
 */
export function toHeaders(fields: Record<string, Repeatable>): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(fields)) {
    for (const value of [values].flat()) headers.append(name, value);
  }
  return headers;
}

/** A query or a form; a list repeats its name. */
export function toParameters(fields: Record<string, Repeatable>): URLSearchParams {
  const entries = Object.entries(fields);
  return new URLSearchParams(entries.flatMap(([name, values]) => [values].flat().map((value) => [name, value])));
}
