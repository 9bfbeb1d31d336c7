import { Buffer } from "node:buffer";

/** Lines of a multi-line secret (a private key) are also masked separately from this length. */
const SHORTEST_LINE = 12;

/** All forms in which a secret may occur in a text: raw, and encoded for JSON, HTML, URLs, base64 and hex. */
export function spellings(secret: string): Set<string> {
  const lines = secret.split(/\r?\n/).filter((line) => line.length >= SHORTEST_LINE);
  const found = new Set<string>();
  for (const text of [secret, secret.trim(), ...lines]) {
    found.add(text);
    for (const encode of [inJson, inHtml, inUrls, base64Spellings, inHex]) {
      for (const encoded of encode(text)) found.add(encoded);
    }
  }
  found.delete("");
  return found;
}

/**
 * JSON may escape more than it must: `\/`, and as `\u0026` characters that are special in HTML or not ASCII. All of these may
 * occur in a text that is itself in JSON, such as a line of the log.
 */
function inJson(text: string): string[] {
  const plain = JSON.stringify(text).slice(1, -1);
  const slashed = plain.replaceAll("/", "\\/");
  const escape = (from: string, what: RegExp, upper: boolean) =>
    from.replace(what, (char) => {
      const code = char.charCodeAt(0).toString(16).padStart(4, "0");
      return `\\u${upper ? code.toUpperCase() : code}`;
    });
  const escaped = [/[<>&]/g, /[<>&'+=]/g, /[^\x20-\x7e]/g, /[<>&]|[^\x20-\x7e]/g, /[<>&'+=]|[^\x20-\x7e]/g].flatMap((
    what,
  ) => [plain, slashed].flatMap((from) => [escape(from, what, false), escape(from, what, true)]));
  const once = [plain, slashed, ...escaped];
  return [...once, ...once.map((json) => JSON.stringify(json).slice(1, -1))];
}

function inHtml(text: string): string[] {
  const basic = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const quoted = basic.replaceAll('"', "&quot;");
  return [basic, quoted, quoted.replaceAll("'", "&#39;"), quoted.replaceAll("'", "&#x27;")];
}

function inUrls(text: string): string[] {
  const wellFormed = text.toWellFormed();
  const strict = encodeURIComponent(wellFormed);
  const form = new URLSearchParams({ v: wellFormed }).toString().slice(2);
  // By RFC 3986, `!'()*` may also be encoded.
  const strictest = strict.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  // The URL parser leaves some characters of a path and a query unchanged.
  const url = new URL("http://h/");
  url.pathname = `/${wellFormed}`;
  url.search = wellFormed;
  url.username = wellFormed;
  const inUrl = [url.pathname.slice(1), url.search.slice(1), url.username];
  const all = [strict, strictest, form, ...inUrl].flatMap((encoded) => [encoded, encoded.replaceAll("%2F", "/")]);
  const both = all.flatMap((encoded) => [
    encoded,
    encoded.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
  ]);
  // If the URL parser shortens (`..`) or drops (a newline) something, the result no longer contains the secret.
  return both.filter((encoded) => encoded.length >= text.length);
}

/**
 * The forms of a text in base64, on one line. Inside a longer base64 text, a value is shifted by 0, 1 or 2 bytes. Its first and
 * last characters then contain bits of its neighbours; those in between are always the same.
 */
export function base64Spellings(text: string): string[] {
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

function inHex(text: string): string[] {
  const hex = Buffer.from(text, "utf8").toString("hex");
  return [hex, hex.toUpperCase()];
}
