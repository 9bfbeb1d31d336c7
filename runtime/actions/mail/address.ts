/** Where a mail goes, or comes from. */
export interface MailAddress {
  /** Empty where there is none. */
  name: string;
  address: string;
}

/** What would let one text name several recipients, or end a header, has no place in an address. */
// deno-lint-ignore no-control-regex
const ADDRESS = /^[^\s\x00-\x20\x7f@<>()[\]\\,;:"]+@[^\s\x00-\x20\x7f@<>()[\]\\,;:"]+$/;
// deno-lint-ignore no-control-regex
const NAMED = /^([^\x00-\x1f\x7f<>]*)<([^<>]+)>$/;

/**
 * Reads `anna@example.org` or `Anna Smith <anna@example.org>`: exactly one address, whatever the text is made of.
 * @returns undefined where it is anything else
 */
export function parseAddress(text: string): MailAddress | undefined {
  const trimmed = text.trim();
  const [, name, address] = NAMED.exec(trimmed) ?? [trimmed, "", trimmed];
  if (!ADDRESS.test(address)) return undefined;
  return { name: name.trim().replace(/^"(.*)"$/, "$1"), address };
}
