import type { Json } from "../../model/json.ts";
import type { PollContext } from "./poll_args.ts";

/**
 * Reads one item afresh.
 * @returns null if it is gone; undefined if its source cannot read one item
 */
export async function readOne(context: PollContext, key: string): Promise<Json | undefined> {
  const { args: { poll, one }, source, signal } = context;
  if (one === undefined && !source?.methods.includes("one")) return undefined;
  const called = typeof poll === "string" ? { http: poll } : poll;
  return await context.execute(called, { key }, signal, { method: "one" });
}
