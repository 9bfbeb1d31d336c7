/** What is known of the bytes from outside. */
export interface DecodeOptions {
  /** What the user says they are; it wins over all that they say of themselves. */
  charset?: string;
  /** A header such as `text/html; charset=windows-1251`. */
  contentType?: string;
  /** What {@link charsetIn} found in the beginning of what these bytes are the end of. */
  known?: string;
  /** True where the bytes were cut at a limit: a character that was cut in two is left out. */
  cut?: boolean;
}

/** The bytes are no text in the charset that they should be in. */
export class DecodeError extends Error {
  override name = "DecodeError";
}

/** A charset, and how it is known. */
interface Found {
  label: string;
  by: string;
}

/** By its first bytes; UTF-8 has one, too, but needs none. */
const MARKS = [
  { bytes: [0xef, 0xbb, 0xbf], label: "utf-8" },
  { bytes: [0xff, 0xfe], label: "utf-16le" },
  { bytes: [0xfe, 0xff], label: "utf-16be" },
];
/** Bytes in which an XML declaration ends. */
const DECLARATION = 200;

/**
 * Reads bytes as text: in the charset that `charset` names, else the content type, the byte order mark, the XML declaration; else as
 * UTF-8. A byte order mark is dropped. Names are those of the encoding standard (https://encoding.spec.whatwg.org/#names-and-labels).
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

/** The same with U+FFFD for what cannot be read: for what is shown of a failure. */
export function decodeReadable(bytes: Uint8Array, options: DecodeOptions = {}): string {
  return new TextDecoder(findCharset(bytes, options).label).decode(bytes, { stream: options.cut });
}

/** The charset that bytes are read in, see {@link decodeText}; their beginning is enough. */
export function charsetIn(bytes: Uint8Array, options: DecodeOptions = {}): string {
  return new TextDecoder(findCharset(bytes, options).label).encoding;
}

/** Whether it names a charset that can be read. */
export function isCharset(label: string): boolean {
  try {
    return new TextDecoder(label).encoding !== "";
  } catch {
    return false;
  }
}

/** The charset that a content type names, if it can be read. */
export function charsetOf(contentType: string): string | undefined {
  const label = /;\s*charset\s*=\s*["']?([^"';\s]+)/i.exec(contentType)?.[1];
  return label !== undefined && isCharset(label) ? label.toLowerCase() : undefined;
}

function findCharset(bytes: Uint8Array, { charset, contentType = "", known }: DecodeOptions): Found {
  if (known !== undefined) return { label: known, by: "" };
  const mark = MARKS.find((one) => one.bytes.every((byte, index) => bytes[index] === byte))?.label;
  const named = charset ?? charsetOf(contentType);
  if (named !== undefined) {
    // The name alone does not tell the order of its bytes (RFC 2781, section 4.3).
    const label = named.toLowerCase() === "utf-16" && mark === "utf-16be" ? mark : named;
    return { label, by: charset === undefined ? ", as its content type says" : ', as "charset" says' };
  }
  if (mark !== undefined) return { label: mark, by: ", as its byte order mark says" };
  const declared = declaredIn(bytes);
  return declared === undefined ? { label: "utf-8", by: "" } : { label: declared, by: ", as its XML declaration says" };
}

function declaredIn(bytes: Uint8Array): string | undefined {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, DECLARATION));
  const label = /^<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]+)["']/.exec(start)?.[1].toLowerCase();
  // Could it be read so far, it is not in UTF-16, whatever it says.
  return label === undefined || label.startsWith("utf-16") || !isCharset(label) ? undefined : label;
}
