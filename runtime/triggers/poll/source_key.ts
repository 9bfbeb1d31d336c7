import { createHash } from "node:crypto";
import { writeExactJson } from "../../formats/exact_json.ts";
import type { JsonObject } from "../../model/json.ts";
import { readTarget, specifierOf } from "../../model/target.ts";

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
 * @param at the rules folder and the rule file's folder, absolute
 */
export function keyOfSource(
  poll: string | JsonObject,
  { folder, ruleFolder }: { folder: string; ruleFolder: string },
): string {
  if (typeof poll === "object" && typeof poll.call === "string") {
    const { path, name = "" } = readTarget(folder, ruleFolder, poll.call);
    return path === "" ? name : `${specifierOf(path).replace(/^\.\/|\/$/g, "")}#${name}`;
  }
  const source = typeof poll === "string" ? poll : poll.http ?? poll;
  return createHash("sha256").update(writeExactJson(source)).digest("hex").slice(0, 32);
}
