import { Buffer } from "node:buffer";

/** Lines of a secret that has several (a private key) are masked on their own from this length. */
const SHORTEST_LINE = 12;

/** All the ways in which a secret may stand in a text: raw, JSON-escaped, URL-encoded, base64. */
export function spellings(secret: string): Set<string> {
  const lines = secret.split(/\r?\n/).filter((line) => line.length >= SHORTEST_LINE);
  const found = new Set<string>();
  for (const text of [secret, secret.trim(), ...lines]) {
    const escaped = JSON.stringify(text).slice(1, -1);
    found.add(text).add(escaped).add(JSON.stringify(escaped).slice(1, -1));
    for (const encoded of urlEncodings(text)) found.add(encoded);
    for (const encoded of base64(text)) found.add(encoded);
  }
  found.delete("");
  return found;
}

function urlEncodings(text: string): string[] {
  const wellFormed = text.toWellFormed();
  const strict = encodeURIComponent(wellFormed);
  const form = new URLSearchParams({ v: wellFormed }).toString().slice(2);
  // The URL parser leaves some characters of a path and a query as they are.
  const url = new URL("http://h/");
  url.pathname = `/${wellFormed}`;
  url.search = wellFormed;
  url.username = wellFormed;
  const inUrl = [url.pathname.slice(1), url.search.slice(1), url.username];
  const both = [strict, form, ...inUrl].flatMap((encoded) => [
    encoded,
    encoded.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
  ]);
  // What the URL parser shortens (`..`) or drops (a newline) is no spelling of the secret any more.
  return both.filter((encoded) => encoded.length >= text.length);
}

/**
 * Inside a longer base64 text a value is shifted by 0, 1 or 2 bytes; its first and last characters then hold bits of its
 * neighbours, those between are always the same.
 */
function base64(text: string): string[] {
  const bytes = Buffer.from(text, "utf8");
  const found = [bytes.toString("base64"), bytes.toString("base64url")];
  for (let shift = 0; shift < 3; shift++) {
    const padded = Buffer.concat([Buffer.alloc(shift), bytes]);
    const start = shift === 0 ? 0 : shift + 1;
    for (const encoding of ["base64", "base64url"] as const) {
      const encoded = padded.toString(encoding).replace(/=+$/, "");
      found.push(encoded.slice(start, padded.length % 3 === 0 ? undefined : -1));
    }
  }
  return found;
}
