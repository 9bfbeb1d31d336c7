import { basename, dirname } from "node:path";
import { isObject, type Json } from "../model/json.ts";

/** The folder of a database on a machine is `whenthen-<hash>`, and `whenthen-<hash>-2` for a second program there. */
const NUMBER = /-\d+$/;

/**
 * Paths of files that another replica has recorded, as they are on this machine: each replica has the files of a database in a folder of
 * its own.
 * @param folder of all files of runs and events here, absolute
 */
export function withLocalPaths(value: Json, folder: string): Json {
  const name = basename(dirname(folder)).replace(NUMBER, "");
  const anywhere = new RegExp(`/(?:[^\\s"']*/)?${name}(?:-\\d+)?/${basename(folder)}/`, "g");
  const visit = (value: Json): Json => {
    if (typeof value === "string") return value.replace(anywhere, () => `${folder}/`);
    if (Array.isArray(value)) return value.map(visit);
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, visit(inner)]));
  };
  return visit(value);
}

/** The folders of runs and events that a value names by paths in the folder of all files, relative to that. */
export function foldersNamedIn(value: Json, folder: string): string[] {
  const named = JSON.stringify(value).split(`${folder}/`).slice(1);
  const found = named.flatMap((rest) => /^((?:\.uploads\/)?[0-9a-z]+)\//.exec(rest)?.[1] ?? []);
  return [...new Set(found)];
}
