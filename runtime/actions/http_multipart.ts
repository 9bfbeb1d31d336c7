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
): Promise<FormData> {
  const form = new FormData();
  const read: ReadFile[] = [];
  for (const [field, values] of Object.entries(fields)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      if (value === null) continue;
      if (fileOf(value) === undefined) {
        form.append(field, textOf(value, field, name));
        continue;
      }
      const { name: fileName, type, content } = await readFile(value, `Cannot ${name}`, context, read);
      form.append(field, new File([content as Uint8Array<ArrayBuffer>], fileName, { type }));
    }
  }
  return form;
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
