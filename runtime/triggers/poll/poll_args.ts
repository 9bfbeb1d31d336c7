import { createHash } from "node:crypto";
import { z } from "zod";
import { writeExactJson } from "../../formats/exact_json.ts";
import { formatHint } from "../../formats/format.ts";
import {
  charset,
  duration,
  expression,
  format,
  number,
  request,
  requestAuth,
  source,
  template,
  url,
} from "../../language/arg_types.ts";
import type { Args, ReadArgs } from "../../language/kind.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { nameOfTarget, readTarget } from "../../model/target.ts";
import { type Capped, changesOption, type TriggerContext } from "../trigger.ts";
import { schemas as webhookSchemas } from "../webhook_request.ts";

/** The names in an expression about a document. A step other than http has only the body. */
const DOCUMENT = ["body", "status", "headers"];

/** The arguments of a poll. */
export const schemas = {
  kind: "poll",
  main: z.union([url(), source()]),
  options: {
    every: duration().default(300_000).describe("How often it looks"),
    headers: z.record(z.string(), template()).optional().describe("Request headers, for a URL"),
    auth: requestAuth(),
    items: expression({ names: DOCUMENT }).optional().describe("CEL: the list of items in the source's output"),
    key: expression({ names: ["item", "index"] }).optional().describe("CEL over item: the identity of an item"),
    on: changesOption(),
    ignore: z.array(z.string()).optional().describe("Fields whose changes are ignored"),
    first: z.enum(["seed", "emit"]).default("seed").describe("Whether the items of the first look count as added"),
    format: format().optional().describe("How the page or the output is read"),
    charset: charset().optional().describe("The charset of the page or the output, whatever it declares"),
    take: number({ min: 1, integer: true }).optional().describe("Only the first items, silently"),
    max: number({ min: 1, integer: true }).optional().describe(
      "The most items of one look, all pages together; more is an error; by default 10000",
    ),
    at: expression({ names: ["item", "index"] }).optional().describe(
      "CEL over item: when it was last changed; an item older than the known one is ignored",
    ),
    stagnant: duration().optional().describe(
      "Also emits an event of the type stagnant, once, for an item that did not change for so long",
    ),
    hook: z.strictObject({
      webhook: z.string(),
      auth: webhookSchemas.options.auth,
      secret: webhookSchemas.options.secret,
    }).optional().describe("A webhook whose deliveries make it look at once"),
    one: request(["key"]).optional().describe(
      "The request that reads one item: { http: GET https://example.org/items/${{ key }}, value: body }",
    ),
    update: request(["key", "patch"]).optional().describe(
      "The request by which patch changes one item: { http: PATCH https://…/${{ key }}, json: ${{ patch }} }",
    ),
    pages: z.strictObject({
      next: expression({ names: [...DOCUMENT, "link"] }).describe(
        "The address of the next page; link is that of the header Link",
      ),
      max: number({ min: 1, integer: true }).default(200),
    }).optional().describe(
      "Where the next page is: CEL over the answer that gives its URL, or null after the last one",
    ),
  },
} as const;

export type PollArgs = Args<typeof schemas>;
export type ReadPollArgs = ReadArgs<typeof schemas>;
export type PollContext = TriggerContext<PollArgs>;

/** An item that is as the baseline has it: only its key is kept in memory. */
export class Unchanged {
  constructor(readonly key: string) {}
}

/** The result of reading the source once. */
export interface Reading {
  /** The value of `items`, or the whole document. */
  items: Json | (Json | Unchanged)[];
  /** True if these are only the items since the last cursor: an absent item was not removed. */
  incremental: boolean;
  /** False if pages were left unread: an absent item may be on one of them. */
  complete: boolean;
  /** True for a feed: it shows only the newest items, and items drop out and come back. */
  isFeed: boolean;
  /** Keys of items that no longer exist, each with the number of items that were read before it. */
  removed?: ReadonlyMap<string, number>;
  /** True if a later item with the same key is the newer one. */
  inOrder?: boolean;
  /** True if the source has pushed these items. */
  isPushed?: boolean;
  cursor?: Json;
  /** Validators from the answer's headers, for the next request. */
  etag?: string;
  lastModified?: string;
}

/** What is sent to the source to get only changes. */
export type Asking = Pick<Reading, "cursor" | "etag" | "lastModified">;

/** @throws Error if the value is no list */
export function listOf<Item extends Json | Unchanged>(value: Json | Item[], what: string): Item[] {
  if (Array.isArray(value)) return value as Item[];
  const found = isObject(value)
    ? `an object with ${Object.keys(value).slice(0, 8).join(", ") || "no keys"}`
    : writeExactJson(value);
  const hint = typeof value === "string" ? formatHint(value) : "";
  const remedy = hint || '; "items" can say where in it the list is';
  throw new Error(`Expected a list from ${what}, got ${found.slice(0, 200)}${remedy}`);
}

/** The step that a poll executes: a URL is short for an http step. */
export function stepOf(poll: PollArgs["poll"]): JsonObject {
  return typeof poll === "string" ? { http: poll } : poll;
}

/** Whether a step calls a command file, which is executed like `run`. */
export function isCommandFile({ call }: JsonObject): boolean {
  return typeof call === "string" && /\.ya?ml$/.test(call);
}

/** The most items of one look. */
const MOST_ITEMS = 10_000;

/** The options of a poll; those that it does not set come from its source. */
export interface PollSettings {
  key?: string;
  /** When an item was last changed; CEL. */
  at?: string;
  /** Paths in an item that do not count. */
  ignore: string[];
  take?: number;
  max: number;
}

/** @param isFeed whether it is about a feed, in whose `ext` there may be counters: without `ignore` they do not count */
export function settingsOf({ args, source }: Pick<PollContext, "args" | "source">, isFeed = false): PollSettings {
  return {
    key: args.key ?? source?.key,
    at: args.at ?? source?.at,
    ignore: args.ignore ?? source?.ignore ?? (isFeed ? ["ext"] : []),
    take: args.take,
    max: args.max ?? source?.max ?? MOST_ITEMS,
  };
}

/** A look has more items than the poll may have; nothing is compared, and no event is emitted. */
export class PollCappedError extends Error {
  override name = "PollCappedError";

  constructor(readonly count: number, readonly max: number) {
    super(`The source has more than ${max} items, so nothing was compared; raise it with "max", or use "take: ${max}"`);
  }
}

/** What a poll reports of an error, if that is the limit of its items. */
export function cappedBy(error: unknown): Capped | undefined {
  return error instanceof PollCappedError ? { max: error.max } : undefined;
}

/** Counts the items of a look, page by page. */
export class ItemLimit {
  #count = 0;

  constructor(private readonly settings: Pick<PollSettings, "take" | "max">) {}

  /**
   * Counts the items of a page.
   * @returns whether there are as many as the poll takes
   * @throws PollCappedError
   */
  add(count: number): boolean {
    const { take, max } = this.settings;
    this.#count += count;
    if (take !== undefined) return this.#count >= take;
    if (this.#count > max) throw new PollCappedError(this.#count, max);
    return false;
  }
}

/** The name of a poll's source for messages: its address, or the target of its call, as written. */
export function nameOfSource(poll: string | JsonObject): string {
  if (typeof poll === "string") return poll;
  const { call, http, run } = poll;
  return typeof call === "string" ? call.replace(/^#/, "") : writeExactJson(http ?? run ?? poll);
}

/**
 * A key that all polls of one source have, however they name it. It is a hash unless the source is called by name, because
 * an address may hold a secret.
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
