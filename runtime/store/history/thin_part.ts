import type { Disk } from "../../host/disk.ts";
import { messageOf } from "../../model/errors.ts";
import { writeDraft } from "../log/draft.ts";
import type { Catalogue } from "./catalogue.ts";
import type { EventHeader, MoreHeader, RunHeader } from "./lines.ts";
import { type OpenPart, parsePartName, rowsOf, usePartOnce, type Value } from "./part_file.ts";
import { isDamage } from "./part_reader.ts";
import { type MadePart, PartWriter } from "./part_writer.ts";

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
    if ((error as { code?: string }).code === "ENOENT") return { result: { kind: "nothing" } };
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
  const header = [typeof id === "number" ? "event" : "run", id] as MoreHeader;
  const more = rowsOf(part, "SELECT line, text FROM more_with_text WHERE id = ?", [id]).map((columns) => {
    const [line, text] = columns as [number, string];
    return { id, line, text, add: (writer: PartWriter) => writer.more(header, text) };
  });
  return [...own, ...more];
}

const EVENT = "SELECT key, at, type, subject, delivery, rules, text FROM events_with_text WHERE key = ?";

function eventOf(part: OpenPart, key: number): CopiedLine[] {
  return rowsOf(part, EVENT, [key]).map((columns) => {
    const [, at, type, subject, delivery, rules, text] = columns as [
      number,
      number,
      string,
      Value,
      string,
      string,
      string,
    ];
    const header = [key, at, type, subject, delivery, JSON.parse(rules)] as EventHeader;
    return { id: key, line: -1, text, add: (writer) => writer.event(header, text) };
  });
}

const RUN =
  "SELECT line, text, id, rule, state, event, subject, created_at, ended_at, listed, version FROM runs_with_text " +
  "WHERE id = ?";

function runOf(part: OpenPart, id: string): CopiedLine[] {
  return rowsOf(part, RUN, [id]).map(([line, text, ...header]) => ({
    id,
    line: line as number,
    text: text as string,
    add: (writer) => writer.run(header as RunHeader, text as string),
  }));
}
