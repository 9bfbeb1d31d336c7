import { TerminalError } from "../model/errors.ts";
import type { SavedFile } from "../model/event.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { show } from "../language/hints.ts";
import type { ActionContext } from "./action.ts";

/** A file and its content. */
export interface ReadFile extends SavedFile {
  content: Uint8Array;
}

/** The most bytes of all files that a step sends: they are in memory meanwhile. */
const MOST_BYTES = 100_000_000;

/** The file that a value is: a saved or uploaded one, or the result of a step `http` or `run` with `save`. */
export function fileOf(value: Json): SavedFile | undefined {
  if (!isObject(value)) return undefined;
  const object = value as JsonObject;
  if (isFile(object)) return object;
  const saved = object.body ?? object.stdout;
  return isObject(saved) && isFile(saved as JsonObject) ? saved as SavedFile : undefined;
}

function isFile(value: JsonObject): value is SavedFile {
  const texts = [value.path, value.name, value.type, value.sha256];
  return texts.every((text) => typeof text === "string") && typeof value.bytes === "number";
}

/**
 * Reads the file that a value is, see {@link fileOf}.
 * @param task for messages: `Cannot send mail`
 * @param read what the step has read before: all together may have 100 MB
 * @throws TerminalError if it is none, or too large
 */
export async function readFile(
  value: Json,
  task: string,
  { services }: Pick<ActionContext<unknown>, "services">,
  read: ReadFile[],
): Promise<ReadFile> {
  const file = fileOf(value);
  if (file === undefined) {
    throw new TerminalError(
      `${task}: expected a file, such as the result of a step with save, or event.files.photo; got ${show(value)}`,
    );
  }
  if (read.reduce((sum, { bytes }) => sum + bytes, file.bytes) > MOST_BYTES) {
    throw new TerminalError(`${task}: its files have over ${MOST_BYTES / 1_000_000} MB, the most that a step sends`);
  }
  const content = await services.readFile(file);
  const readNow = { ...file, content };
  read.push(readNow);
  return readNow;
}
