import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, relative, resolve } from "node:path";
import { z } from "zod";
import { decodeText } from "../formats/decode_text.ts";
import type { Format } from "../formats/format.ts";
import { charset, duration, format, path } from "../language/arg_types.ts";
import type { Args } from "../language/kind.ts";
import { messageOf } from "../model/errors.ts";
import { asJson, type Json, type JsonObject } from "../model/json.ts";
import { parseBeside } from "../workers/parse_in_thread.ts";
import { changesOption, readBaseline, shortId, type TriggerContext, type TriggerEvent } from "./trigger.ts";
import { type FilePattern, isSameStamp, listFiles, readPattern, slashed, type Stamp, stampOf } from "./watch_files.ts";

/** The arguments of a watch. */
export const schemas = {
  kind: "watch",
  main: path(),
  options: {
    on: changesOption(),
    settle: duration().default(2_000).describe("How long a file must stay unchanged"),
    first: z.enum(["seed", "emit"]).default("emit").describe("Whether the files of the first look count as added"),
    format: format().optional().describe("How the content is read"),
    charset: charset().optional().describe("The charset of the content, whatever it declares"),
  },
} as const;

export type WatchContext = TriggerContext<Args<typeof schemas>>;

/** The last reported state of a file. The baseline holds these by path, relative to the rule file's folder. */
interface Known extends Stamp {
  /** Hash of the content, if the file is small: a file that was only touched did not change. */
  hash?: string;
}

interface Mark {
  /** A different pattern under the same trigger id starts a new baseline. */
  pattern: string;
  began: string;
  sequence: number;
  seeding?: true;
}

interface Change {
  type: "added" | "changed" | "removed";
  path: string;
  old?: Known;
  new?: Known;
  read?: JsonObject;
}

/** Files up to this size are compared by content. */
const HASHED = 1_000_000;
/** Files up to this size are read if there is a `format`. */
const READ = 10_000_000;
const CHUNK = 500;

/**
 * The state of a `watch` trigger, and how it finds changes. A file is reported once it has not changed for `settle`: the
 * program that writes it has then finished.
 */
export class Watching {
  readonly pattern: FilePattern;
  /** Files that differ from their known state: the new stamp (none if the file is missing), and when it was first seen. */
  readonly #unsettled = new Map<string, { stamp?: Stamp; since: number }>();
  #mark?: Mark;

  constructor(private readonly context: WatchContext) {
    this.pattern = readPattern(context.args.watch, context.ruleFolder);
  }

  /**
   * Reports the changes that have settled.
   * @param paths absolute; undefined means all files that match the pattern, and all known files
   * @returns when to look again at the files that have not settled, or undefined if there are none
   */
  async look(paths?: Iterable<string>): Promise<number | undefined> {
    if (this.#mark === undefined) await this.#open();
    if (this.context.signal.aborted) return undefined;
    const named = paths === undefined ? undefined : [...paths].map((path) => this.#keyOf(path));
    const { clock, args } = this.context;
    const settle = args.settle;
    const due = [...this.#unsettled].filter(([, { since }]) => since + settle <= clock.now()).map(([path]) => path);
    const settled: Change[] = [];
    const reported = new Set([...named ?? [], ...due]);
    const present = named ?? (await listFiles(this.pattern)).map((path) => this.#keyOf(path));
    for await (const [path, old] of this.#known(new Set([...present, ...due]), named === undefined)) {
      const change = await this.#examine(path, old, reported.has(path));
      if (change !== undefined) settled.push(change);
    }
    await this.#report(settled);
    const dues = [...this.#unsettled.values()].map(({ since }) => since + settle);
    return dues.length === 0 ? undefined : dues.reduce((first, due) => Math.min(first, due));
  }

  /** Reads the trigger's mark, or starts a baseline: `first: seed` takes the present files without reporting them. */
  async #open(): Promise<void> {
    const { store, rule, trigger, args, clock } = this.context;
    const key = { rule: rule.id, trigger: trigger.id };
    const stored = await store.getMark(key) as Mark | undefined;
    const pattern = args.watch;
    if (stored !== undefined && stored.pattern === pattern && !stored.seeding) {
      this.#mark = stored;
      return;
    }
    const mark: Mark = { pattern, began: new Date(clock.now()).toISOString(), sequence: 0 };
    const seeding = stored !== undefined || args.first === "seed";
    const files = seeding ? await listFiles(this.pattern) : [];
    for (let start = 0; start === 0 || start < files.length; start += CHUNK) {
      const put = await this.#take(files.slice(start, start + CHUNK));
      await this.context.ingest([], {
        mark: asJson(start + CHUNK < files.length ? { ...mark, seeding: true } : mark),
        baseline: { ...(start === 0 && { clear: true }), put, remove: [] },
      });
    }
    this.#mark = mark;
  }

  async #take(files: string[]): Promise<[string, Json][]> {
    const taken: [string, Json][] = [];
    for (const path of files) {
      const stamp = await stampOf(path);
      if (stamp !== undefined) taken.push(toItem([this.#keyOf(path), await withHash(path, stamp)]));
    }
    return taken;
  }

  /**
   * The paths with their last reported states. These are read in pieces, so that a baseline is never in memory as a whole.
   * @param all whether files that are only in the baseline are included
   */
  async *#known(paths: Set<string>, all: boolean): AsyncGenerator<[path: string, old: Known | undefined]> {
    const { store, rule, trigger } = this.context;
    const named = [...paths];
    for (let start = 0; start < named.length; start += CHUNK) {
      const chunk = named.slice(start, start + CHUNK);
      const known = await store.getItems({ rule: rule.id, trigger: trigger.id }, chunk);
      for (const path of chunk) yield [path, known.get(path) as Known | undefined];
    }
    if (!all) return;
    for await (const page of readBaseline(this.context)) {
      for (const path of page.keys()) if (!paths.has(path)) yield [path, page.get(path) as Known | undefined];
    }
  }

  /**
   * The change of a file; undefined if there is none or it has not settled.
   * @param reported whether a change of the file was reported. Deno (2.9) gives the change time in whole seconds, so a second
   * change within one second may leave the stamp as it was. The content is then compared.
   */
  async #examine(path: string, old: Known | undefined, reported: boolean): Promise<Change | undefined> {
    const absolute = resolve(this.context.ruleFolder, path);
    const stamp = this.pattern.matches(absolute) ? await stampOf(absolute) : undefined;
    if (isSameStamp(old, stamp) && !(reported && await hasOtherContent(absolute, old))) {
      this.#unsettled.delete(path);
      return undefined;
    }
    if (!this.#hasSettled(path, stamp)) return undefined;
    if (stamp === undefined) return { type: "removed", path, old };
    return { type: old === undefined ? "added" : "changed", path, old, ...await this.#read(absolute, stamp) };
  }

  #hasSettled(path: string, stamp: Stamp | undefined): boolean {
    const now = this.context.clock.now();
    const settle = this.context.args.settle;
    if (stamp !== undefined && stamp.modified + settle <= now) return true;
    const before = this.#unsettled.get(path);
    if (before !== undefined && isSameStamp(before.stamp, stamp)) return before.since + settle <= now;
    this.#unsettled.set(path, { stamp, since: now });
    return settle === 0;
  }

  async #read(path: string, stamp: Stamp): Promise<Pick<Change, "new" | "read">> {
    const { format, charset } = this.context.args;
    if (stamp.size > (format === undefined ? HASHED : READ)) {
      return {
        new: stamp,
        ...(format && { read: { content: null, error: `Not read: it has more than ${READ} bytes` } }),
      };
    }
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch (error) {
      return { new: stamp, ...(format && { read: { content: null, error: messageOf(error) } }) };
    }
    return {
      new: stamp.size > HASHED ? stamp : { ...stamp, hash: hashOf(bytes) },
      ...(format && { read: await this.#parse(path, bytes, format, charset) }),
    };
  }

  async #parse(path: string, bytes: Uint8Array, format: Format, charset: string | undefined): Promise<JsonObject> {
    const { log, trigger } = this.context;
    if (format === "base64") return { content: Buffer.from(bytes).toString("base64") };
    const warn = (message: string) => log.warn(`${trigger.id}: ${this.#keyOf(path)}: ${message}`);
    try {
      return { content: await parseBeside(decodeText(bytes, { charset }), format, { warn }) };
    } catch (error) {
      return { content: null, error: messageOf(error) };
    }
  }

  async #report(settled: Change[]): Promise<void> {
    for (let start = 0; start < settled.length; start += CHUNK) {
      if (this.context.signal.aborted) return;
      const changes = settled.slice(start, start + CHUNK);
      const mark = { ...this.#mark!, sequence: this.#mark!.sequence + 1 };
      const events = changes.filter((change) => this.#isWanted(change)).map((change) => this.#toEvent(change, mark));
      await this.context.ingest(events, {
        mark: asJson(mark),
        baseline: {
          put: changes.filter((change) => change.new !== undefined).map((change) => toItem([change.path, change.new!])),
          remove: changes.filter((change) => change.new === undefined).map(({ path }) => path),
        },
      });
      this.#mark = mark;
      for (const { path } of changes) this.#unsettled.delete(path);
    }
  }

  #isWanted({ type, old, new: file }: Change): boolean {
    const touched = type === "changed" && file!.hash !== undefined && file!.hash === old!.hash;
    return !touched && this.context.args.on.includes(type);
  }

  #toEvent({ type, path, old, new: file, read }: Change, { began, sequence }: Mark): TriggerEvent {
    const id = `${Date.parse(began).toString(36)}.${sequence}.${path}`;
    return {
      id: shortId(id),
      type,
      subject: path,
      data: {
        path: resolve(this.context.ruleFolder, path),
        name: basename(path),
        old: shown(old),
        new: shown(file),
        ...read,
      },
    };
  }

  #keyOf(path: string): string {
    return slashed(relative(this.context.ruleFolder, path));
  }
}

/** Whether a small file's content differs from its known content. */
async function hasOtherContent(path: string, known: Known | undefined): Promise<boolean> {
  return known?.hash !== undefined && (await withHash(path, known)).hash !== known.hash;
}

/** The stamp, with a hash if the file is small and can be read. */
async function withHash(path: string, stamp: Stamp): Promise<Known> {
  if (stamp.size > HASHED) return stamp;
  try {
    return { ...stamp, hash: hashOf(await readFile(path)) };
  } catch {
    return stamp;
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 32);
}

function shown(file: Known | undefined): Json {
  return file === undefined ? null : { size: file.size, modified: new Date(file.modified).toISOString() };
}

function toItem([path, known]: [string, Known]): [string, Json] {
  return [path, { ...known }];
}
