/** The address of a recipient or a sender. */
export interface MailAddress {
  /** Empty if there is none. */
  name: string;
  address: string;
}

/** Characters that would make several recipients of one text, or end a header, are not allowed in an address. */
// deno-lint-ignore no-control-regex
const ADDRESS = /^[^\s\x00-\x20\x7f@<>()[\]\\,;:"]+@[^\s\x00-\x20\x7f@<>()[\]\\,;:"]+$/;
// deno-lint-ignore no-control-regex
const NAMED = /^([^\x00-\x1f\x7f<>]*)<([^<>]+)>$/;

/**
 * Reads `anna@example.org` or `Anna Smith <anna@example.org>`: exactly one address, wherever the text comes from.
 * @returns undefined if it is anything else
 */
export function parseAddress(text: string): MailAddress | undefined {
  const trimmed = text.trim();
  const [, name, address] = NAMED.exec(trimmed) ?? [trimmed, "", trimmed];
  if (!ADDRESS.test(address)) return undefined;
  return { name: name.trim().replace(/^"(.*)"$/, "$1"), address };
}
