import type { Disk } from "../../host/disk.ts";
import { codeOf, messageOf } from "../../model/errors.ts";
import { writeDraft } from "../log/draft.ts";
import type { Part } from "./catalogue.ts";
import type { Catalogue } from "../ledger/tables.ts";
import type { EventHeader, MoreHeader, RunHeader } from "./history_lines.ts";
import { type MadePart, type OpenPart, parsePartName, PartWriter, rowsOf, usePartOnce } from "./part_file.ts";
import { isDamage } from "./part_reader.ts";

/** Thinned parts may use at most this share of the size limit of history, so that they do not displace all others. */
const THINNED_SHARE = 1 / 2;

/** A part is thinned again when less than this share of its content must still be kept. */
const STILL_KEPT = 1 / 2;

/** The events and runs that are kept even if their parts are removed. */
export interface Kept {
  /** Keys. */
  events: ReadonlySet<number>;
  /** Ids. */
  runs: ReadonlySet<string>;
}

/** The next part to remove or to thin. */
export interface Trimming {
  part: Catalogue;
  /** Keys of events and ids of runs to keep that it may have; if there are none, the whole part is removed. */
  ids: (string | number)[];
}

/**
 * Decides which part to remove or thin next: the oldest part that was not thinned yet, if all parts together are too large; else
 * a thinned part most of whose content no longer needs to be kept.
 * @param parts oldest first
 * @param most bytes that history may use
 * @param kept called only if it matters
 */
export function nextToTrim(parts: readonly Part[], most: number, kept: () => Kept): Trimming | undefined {
  const [whole, thinned] = [parts.filter((part) => !isThinned(part)), parts.filter(isThinned)];
  const isTooMuch = bytesOf(whole) + Math.min(bytesOf(thinned), most * THINNED_SHARE) > most;
  if (isTooMuch && whole.length > 0) return { part: whole[0].catalogue, ids: idsIn(whole[0], kept()) };
  if (thinned.length === 0) return undefined;
  const now = kept();
  for (const part of thinned) {
    const ids = idsIn(part, now);
    if (ids.length < part.catalogue.thinned! * STILL_KEPT) return { part: part.catalogue, ids };
  }
}

function isThinned({ catalogue }: Part): boolean {
  return catalogue.thinned !== undefined;
}

function bytesOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { catalogue }) => sum + catalogue.bytes, 0);
}

function idsIn(part: Part, { events, runs }: Kept): (string | number)[] {
  const ids: (string | number)[] = [];
  for (const key of events) if (part.mayHaveEvent(key) || part.mayHaveMore(key)) ids.push(key);
  for (const id of runs) if (part.mayHaveRun(id) || part.mayHaveMore(id)) ids.push(id);
  return ids;
}

/**
 * The limit for versions that are kept only because history shows them. Versions are live state, which has a cap. A version with
 * the bundle of a TypeScript rule can have about 100 kB, and each save of a rule makes a version.
 */
const MOST_CHARACTERS = 32 * 1024 * 1024;

/** A version that neither the rules in force nor a live run uses. */
export interface UnusedVersion {
  version: string;
  /** In characters. */
  length: number;
}

/**
 * Those of these versions that history does not keep for its source view: no run in history used them, or more recently used
 * versions take all the space.
 * @param lastUseOf when a version was last used, as an ascending number; undefined if no run in history used it
 */
export function findOutlived(
  unused: UnusedVersion[],
  lastUseOf: (version: string) => number | undefined,
  most = MOST_CHARACTERS,
): string[] {
  const used = unused.map((one) => ({ ...one, use: lastUseOf(one.version) ?? -1 })).sort((a, b) => b.use - a.use);
  let total = 0;
  return used.flatMap(({ version, length, use }) => {
    if (use === -1) return [version];
    total += length;
    return total > most ? [version] : [];
  });
}

/** The content of a part that is kept. */
export interface Thinning {
  file: string;
  /** Keys of events and ids of runs. */
  ids: (string | number)[];
}

/** `nothing`: the part has none of the ids, or is missing. `damaged`: it cannot be read. Neither makes a file. */
export type Thinned =
  | { kind: "thinned"; catalogue: Catalogue }
  | { kind: "nothing" }
  | { kind: "damaged"; reason: string };

/**
 * Makes a part with only some events and runs of another part, with their amendments, for the same frames: a task of the worker
 * thread. The old file stays; the caller removes it.
 * @throws the disk's error if the part cannot be read this time, or the new file cannot be written
 */
export async function thinPart(disk: Disk, folder: string, { file, ids }: Thinning): Promise<{ result: Thinned }> {
  let made: MadePart | undefined;
  try {
    made = await usePartOnce(disk, folder, file, (part) => copy(part, ids));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { result: { kind: "nothing" } };
    if (!isDamage(error)) throw error;
    return { result: { kind: "damaged", reason: messageOf(error) } };
  }
  if (made === undefined) return { result: { kind: "nothing" } };
  const { bytes, catalogue } = made;
  await writeDraft(disk, folder, catalogue.file, (draft) => draft.write(bytes));
  return { result: { kind: "thinned", catalogue } };
}

async function copy(part: OpenPart, ids: (string | number)[]): Promise<MadePart | undefined> {
  const lines = ids.flatMap((id) => linesOf(part, id));
  if (lines.length === 0) return undefined;
  // Keys ascend, so the events of a part are in the order of their lines.
  lines.sort((a, b) => a.line - b.line || Number(a.id) - Number(b.id));
  const { first, last } = parsePartName(part.file)!;
  const writer = await PartWriter.create(first, lines.reduce((sum, { text }) => sum + text.length, 0));
  try {
    for (const { add } of lines) add(writer);
    return writer.finish(last, new Set(lines.map(({ id }) => id)).size);
  } catch (error) {
    writer.discard();
    throw error;
  }
}

/** A line of the part. */
interface CopiedLine {
  id: string | number;
  /** Its position among the lines. */
  line: number;
  text: string;
  add(writer: PartWriter): void;
}

/** All lines about an event or run. An event comes before all lines that refer to it, so its own line needs no number. */
function linesOf(part: OpenPart, id: string | number): CopiedLine[] {
  const own = typeof id === "number" ? eventOf(part, id) : runOf(part, id);
  const header: MoreHeader = typeof id === "number" ? ["event", id] : ["run", id];
  const more = rowsOf<[number, string]>(part, "SELECT line, text FROM more_with_text WHERE id = ?", [id]).map((
    [line, text],
  ) => ({ id, line, text, add: (writer: PartWriter) => writer.more(header, text) }));
  return [...own, ...more];
}

const EVENT = "SELECT text, rules, key, at, type, subject, delivery FROM events_with_text WHERE key = ?";
type EventColumns = [text: string, rules: string, ...HeadOf<EventHeader>];
type HeadOf<H> = H extends [...infer Head, rules: string[]] ? Head : never;

function eventOf(part: OpenPart, key: number): CopiedLine[] {
  return rowsOf<EventColumns>(part, EVENT, [key]).map(([text, rules, ...columns]) => ({
    id: key,
    line: -1,
    text,
    add: (writer) => writer.event([...columns, JSON.parse(rules)], text),
  }));
}

const RUN =
  "SELECT line, text, id, rule, state, event, subject, created_at, ended_at, listed, version FROM runs_with_text " +
  "WHERE id = ?";

function runOf(part: OpenPart, id: string): CopiedLine[] {
  return rowsOf<[number, string, ...RunHeader]>(part, RUN, [id])
    .map(([line, text, ...header]) => ({ id, line, text, add: (writer) => writer.run(header, text) }));
}
