import { writeExactJson } from "../formats/exact_json.ts";
import { TerminalError } from "../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { ActionContext } from "./action.ts";
import { fileOf, type ReadFile, readFile } from "./saved_files.ts";

/**
 * The body of a request with `multipart`: files by their content, all other values as text. Null is left out, a list repeats its field.
 * @param name of the request, for messages
 * @throws TerminalError if a value is the result of a step that has saved no file, or a file cannot be read
 */
export async function multipartBody(
  fields: JsonObject,
  name: string,
  context: ActionContext<unknown>,
): Promise<Blob> {
  // `FormData` would write the types of files in small letters, and so another boundary than that in a file.
  const boundary = `whenthen-${crypto.randomUUID()}`;
  const parts: BlobPart[] = [];
  const add = (head: string, content: BlobPart) => {
    parts.push(`--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`, content, "\r\n");
  };
  const read: ReadFile[] = [];
  for (const [field, values] of Object.entries(fields)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      if (value === null) continue;
      if (fileOf(value) === undefined) {
        add(`name="${quoted(field)}"`, textOf(value, field, name).replace(/\r\n?|\n/g, "\r\n"));
        continue;
      }
      const { name: fileName, type, content } = await readFile(value, `Cannot ${name}`, context, read);
      const known = /^[\x20-\x7e]+$/.test(type) ? type : "application/octet-stream";
      const head = `name="${quoted(field)}"; filename="${quoted(fileName)}"\r\nContent-Type: ${known}`;
      add(head, content as Uint8Array<ArrayBuffer>);
    }
  }
  return new Blob([...parts, `--${boundary}--\r\n`], { type: `multipart/form-data; boundary=${boundary}` });
}

/** As browsers write a name (https://html.spec.whatwg.org/#multipart-form-data). */
function quoted(name: string): string {
  return name.replaceAll("\r", "%0D").replaceAll("\n", "%0A").replaceAll('"', "%22");
}

function textOf(value: Json, field: string, name: string): string {
  if (!isObject(value) && !Array.isArray(value)) return String(value);
  if (!isObject(value) || !isResult(value as JsonObject)) return writeExactJson(value);
  throw new TerminalError(
    `Cannot ${name}: "${field}" of multipart is the result of a step that has saved no file; add save: name there`,
  );
}

/** Whether it is the result of a step `http` or `run`, and not data that only has these keys, too. */
function isResult(value: JsonObject): boolean {
  const { status, headers, code, stdout, stderr } = value;
  const has = (keys: string[]) => keys.every((key) => Object.hasOwn(value, key));
  const hasOnly = (keys: string[]) => Object.keys(value).every((key) => keys.includes(key));
  if (has(["status", "headers", "body"]) && hasOnly(["status", "headers", "body"])) {
    return typeof status === "number" && isObject(headers);
  }
  return hasOnly(["code", "stdout", "stderr", "json", "dropped"]) && typeof code === "number" &&
    stdout !== undefined && typeof stderr === "string";
}
