/** Information about the bytes from other sources. */
export interface DecodeOptions {
  /** The charset set by the user; overrides all others. */
  charset?: string;
  /** A header such as `text/html; charset=windows-1251`. */
  contentType?: string;
  /** What {@link charsetIn} found at the beginning, if these bytes are only the end. */
  known?: string;
  /** True if the bytes were cut at a limit: an incomplete last character is dropped. */
  cut?: boolean;
}

/** The bytes are not valid text in their charset. */
export class DecodeError extends Error {
  override name = "DecodeError";
}

/** A charset, and its source. */
interface Found {
  label: string;
  by: string;
}

/** Byte order marks. That of UTF-8 is not needed, as UTF-8 is the default. */
const MARKS = [
  { bytes: [0xef, 0xbb, 0xbf], label: "utf-8" },
  { bytes: [0xff, 0xfe], label: "utf-16le" },
  { bytes: [0xfe, 0xff], label: "utf-16be" },
];
/** An XML declaration must end within this many bytes. */
const DECLARATION = 200;

/**
 * Decodes text in the charset of `charset`, else of the byte order mark, the content type or the XML declaration; else UTF-8.
 * Drops a byte order mark. Names are those of the encoding standard (https://encoding.spec.whatwg.org/#names-and-labels).
 * @throws DecodeError
 */
export function decodeText(bytes: Uint8Array, options: DecodeOptions = {}): string {
  const { label, by } = findCharset(bytes, options);
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes, { stream: options.cut });
  } catch {
    throw new DecodeError(`it is not text in ${label}${by}; "charset" can say in which charset it is`);
  }
}

/** The same, but with U+FFFD for invalid bytes: to show the text in failures. */
export function decodeReadable(bytes: Uint8Array, options: DecodeOptions = {}): string {
  return new TextDecoder(findCharset(bytes, options).label).decode(bytes, { stream: options.cut });
}

/** The charset that bytes are read in, see {@link decodeText}; their beginning is enough. */
export function charsetIn(bytes: Uint8Array, options: DecodeOptions = {}): string {
  return new TextDecoder(findCharset(bytes, options).label).encoding;
}

/** Whether it is the name of a supported charset. */
export function isCharset(label: string): boolean {
  try {
    return new TextDecoder(label).encoding !== "";
  } catch {
    return false;
  }
}

/** The charset that a content type names, supported or not. */
export function namedCharset(contentType: string): string | undefined {
  return /;\s*charset\s*=\s*["']?([^"';\s]+)/i.exec(contentType)?.[1].toLowerCase();
}

/** The charset of a content type, if it is supported. */
export function charsetOf(contentType: string): string | undefined {
  const label = namedCharset(contentType);
  return label !== undefined && isCharset(label) ? label : undefined;
}

function findCharset(bytes: Uint8Array, { charset, contentType = "", known }: DecodeOptions): Found {
  if (known !== undefined) return { label: known, by: "" };
  const mark = MARKS.find((one) => one.bytes.every((byte, index) => bytes[index] === byte))?.label;
  if (charset !== undefined) {
    // The name alone does not define the byte order (RFC 2781, section 4.3).
    const label = charset.toLowerCase() === "utf-16" && mark === "utf-16be" ? mark : charset;
    return { label, by: ', as "charset" says' };
  }
  // A mark is in the file itself; servers often send one charset with all their files (encoding standard, "BOM sniff").
  if (mark !== undefined) return { label: mark, by: ", as its byte order mark says" };
  const named = charsetOf(contentType);
  if (named !== undefined) return { label: named, by: ", as its content type says" };
  const declared = declaredIn(bytes);
  return declared === undefined ? { label: "utf-8", by: "" } : { label: declared, by: ", as its XML declaration says" };
}

function declaredIn(bytes: Uint8Array): string | undefined {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, DECLARATION));
  const label = /^<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]+)["']/.exec(start)?.[1].toLowerCase();
  // If it was readable so far, it is not UTF-16, whatever it declares.
  return label === undefined || label.startsWith("utf-16") || !isCharset(label) ? undefined : label;
}
