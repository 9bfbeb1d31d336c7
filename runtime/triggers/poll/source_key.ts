import { createHash } from "node:crypto";
import { writeExactJson } from "../../formats/exact_json.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { nameOfTarget, readTarget } from "../../model/target.ts";

/** The name of a poll's source for messages: its address, or what is called, as it is written. */
export function nameOfSource(poll: string | JsonObject): string {
  if (typeof poll === "string") return poll;
  const { call, http, run } = poll;
  return typeof call === "string" ? call.replace(/^#/, "") : writeExactJson(http ?? run ?? poll);
}

/**
 * A key that all polls of one source have, however they name it. Of what is not called by name, it is a hash: an address may hold a
 * secret.
 * @param poll with its templates resolved
 * @param places the rules folder and the rule file's folder, absolute
 */
export function keyOfSource(
  poll: string | JsonObject,
  { folder, ruleFolder }: { folder: string; ruleFolder: string },
): string {
  if (typeof poll === "string") return hashOf(poll);
  const { call, http } = poll;
  return typeof call === "string" ? nameOfTarget(readTarget(folder, ruleFolder, call)) : hashOf(http ?? poll);
}

/** A hash of a value, as 40 hex digits. */
export function hashOf(value: Json): string {
  return createHash("sha256").update(writeExactJson(value)).digest("hex").slice(0, 40);
}
