import type { Json, JsonObject } from "../../model/json.ts";
import type { PollContext } from "./poll_args.ts";

/**
 * Reads one item afresh.
 * @returns null if it is gone; undefined if its source cannot read one item
 */
export async function readOne(context: PollContext, key: string): Promise<Json | undefined> {
  const { args: { poll }, source, signal } = context;
  if (!source?.methods.includes("one")) return undefined;
  return await context.execute(poll as JsonObject, { key }, signal, { method: "one" });
}
