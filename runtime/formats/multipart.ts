import { Buffer } from "node:buffer";
import type { MultipartPart } from "@remix-run/multipart-parser";
import { FieldList, type Repeatable } from "../model/event.ts";
import { messageOf } from "../model/errors.ts";
import { charsetOf } from "./decode_text.ts";

/** A file of a form, as it was sent. */
export interface SentFile {
  /** Of the form's field; several files may have the same one. */
  field: string;
  /** As the sender names it, without folders. */
  name: string;
  /** Its media type, as the sender says. */
  type: string;
  bytes: Uint8Array;
}

/** A body of `multipart/form-data`. */
export interface Multipart {
  /** A repeated name has a list. */
  fields: Record<string, Repeatable>;
  files: SentFile[];
}

/** Types of parts without a file name that are text. */
const TEXT = /^(text\/.*|application\/(.+\+)?(json|xml))$/;
/** The most files of a form: each one is synced to the disk on its own. */
const MOST_FILES = 100;
const UNKNOWN_TYPE = "application/octet-stream";

/** Whether a content type is that of a form which may have files. */
export function isMultipart(contentType: string): boolean {
  return /^\s*multipart\/form-data\s*(;|$)/i.test(contentType);
}

/**
 * Reads `multipart/form-data` (RFC 7578). A part with a file name, or of a type that is no text, is a file; all others are fields.
 * The empty part that a browser sends for an unused file input is left out.
 * @throws Error if it is cut off or malformed, has over 10,000 parts or 100 files, or a field is not text
 */
export async function readMultipart(body: Uint8Array, contentType: string): Promise<Multipart> {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  if (boundary === null) throw new Error("The content type multipart/form-data has no boundary");
  // Loaded with the first such body: most programs never get one.
  const { parseMultipart } = await import("@remix-run/multipart-parser");
  const limits = { maxFileSize: Infinity, maxTotalSize: Infinity, maxParts: FieldList.MOST };
  const fields = new FieldList();
  const files: SentFile[] = [];
  try {
    const name = boundary[1] ?? boundary[2];
    for (const part of parseMultipart(fromBoundary(body, name), { boundary: name, ...limits })) {
      const field = part.name ?? "";
      if (isFile(part)) files.push({ field, ...fileOf(part) });
      else if (part.filename === undefined) fields.add(field, textOf(part, field));
    }
  } catch (error) {
    throw new Error(`The body is not valid multipart/form-data: ${messageOf(error)}`, { cause: error });
  }
  if (files.length > MOST_FILES) throw new Error(`A form may have ${MOST_FILES} files, not ${files.length}`);
  return { fields: fields.toObject(), files };
}

/** Text before the first boundary is not a part (RFC 2046, section 5.1.1). */
function fromBoundary(body: Uint8Array, boundary: string): Uint8Array {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const line = Buffer.from(`--${boundary}`);
  if (bytes.subarray(0, line.length).equals(line)) return body;
  const at = bytes.indexOf(`\r\n--${boundary}`);
  return at === -1 ? body : body.subarray(at + 2);
}

function isFile({ filename, mediaType, size }: MultipartPart): boolean {
  if (filename !== undefined) return filename !== "" || size > 0;
  return mediaType !== undefined && !TEXT.test(mediaType.toLowerCase());
}

function fileOf(part: MultipartPart): Omit<SentFile, "field"> {
  const { filename = "", mediaType = UNKNOWN_TYPE, content } = part;
  // `bytes` is a copy, which a large file would not be worth.
  const bytes = content.length === 1 ? content[0] : part.bytes;
  return { name: filename.split(/[/\\]/).at(-1)!, type: mediaType, bytes };
}

/** UTF-8, byte for byte, unless the part says another charset. */
function textOf({ bytes, headers }: MultipartPart, field: string): string {
  const charset = charsetOf(headers["content-type"] ?? "") ?? "utf-8";
  try {
    return new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new Error(`the field "${field}": it is not text in ${charset}`, { cause: error });
  }
}

/** By the field of a form; several of one field are a list. */
export function byField<T>(files: SentFile[], convert: (file: SentFile, index: number) => T): Record<string, T | T[]> {
  const converted = files.map((file, index) => ({ field: file.field, value: convert(file, index) }));
  const groups = [...Map.groupBy(converted, ({ field }) => field)];
  return Object.fromEntries(groups.map(([field, group]) => {
    const values = group.map(({ value }) => value);
    return [field, values.length === 1 ? values[0] : values];
  }));
}
