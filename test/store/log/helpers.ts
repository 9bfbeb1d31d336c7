import { Buffer } from "node:buffer";
import type { Disk } from "../../../runtime/host/disk.ts";
import { type FoldHooks, foldSegment, type HistorySink, type IdsSink } from "../../../runtime/store/log/fold.ts";
import type { Span } from "../../../runtime/store/log/log_frame.ts";
import { recover, type Recovered, type RecoverySink } from "../../../runtime/store/log/recover.ts";
import { type Segment, SegmentLog, type SegmentLogOptions } from "../../../runtime/store/log/segment_log.ts";

export const FOLDER = "/data";
export const NOW = Date.UTC(2026, 0, 5, 12);
export const EXPIRY = { now: NOW, retention: 1_000 };

type Identity = [hash: string, text: string];

/** History and identities as JSON instead of SQLite files. */
export const hooks: FoldHooks<JsonCatalogue> = {
  openHistory: () => Promise.resolve(new JsonHistory()),
  openIds: () => Promise.resolve(new JsonIds()),
  readCatalogue: async (disk, folder, part) => ({ lines: partLines(await disk.read(`${folder}/${part}`)).length }),
  async mergeIds(files, { now, retention }) {
    const merged = new Map<string, string>();
    for await (const bytes of files) {
      for (const [hash, text] of parse(bytes) as Identity[]) if (!merged.has(hash)) merged.set(hash, text);
    }
    const kept = [...merged].filter(([, text]) => {
      const [, at, within] = JSON.parse(text);
      return at + (within ?? retention) > now;
    });
    return bytesOf(kept);
  },
};

interface JsonCatalogue {
  lines: number;
}

class JsonHistory implements HistorySink<JsonCatalogue> {
  readonly #lines: string[][] = [];
  event = (header: string, text: Uint8Array) => this.#add("event", header, text);
  run = (header: string, text: Uint8Array) => this.#add("run", header, text);
  more = (header: string, text: Uint8Array) => this.#add("more", header, text);
  finish = () => ({ bytes: bytesOf(this.#lines), catalogue: { lines: this.#lines.length } });
  discard() {}

  #add(kind: string, header: string, text: Uint8Array): void {
    this.#lines.push([kind, header, Buffer.from(text).toString()]);
  }
}

class JsonIds implements IdsSink {
  readonly #ids: Identity[] = [];
  id = (hash: string, text: string) => void this.#ids.push([hash, text]);
  finish = () => bytesOf(this.#ids);
}

/** The result of a recovery. */
export class TestSink implements RecoverySink {
  readonly rows = new Map<string, string>();
  readonly ids = new Map<string, string>();
  readonly lines: string[][] = [];
  put = (table: string, key: string, { bytes, from, to }: Span) =>
    void this.rows.set(`${table}/${key}`, bytes.toString("utf8", from, to));
  drop = (table: string, key: string) => void this.rows.delete(`${table}/${key}`);
  id = (hash: string, json: string) => void this.ids.set(hash, json);
  history = (kind: string, header: string, text: string) => void this.lines.push([kind, header, text]);
}

/** The history of a part. */
export function partLines(bytes: Uint8Array): string[][] {
  return parse(bytes) as string[][];
}

/** Recovers a store; warnings are collected. */
export async function recovered(disk: Disk): Promise<Recovered<TestSink> & { warnings: string[] }> {
  const warnings: string[] = [];
  const result = await recover<TestSink>({
    disk,
    folder: FOLDER,
    now: NOW,
    onWarning: (message) => warnings.push(message),
    begin: () => new TestSink(),
    readIds: (bytes, sink) => {
      for (const [hash, text] of parse(bytes) as Identity[]) sink.ids.set(hash, text);
    },
  });
  return { ...result, warnings };
}

/** Opens the log of a disk. */
export function openLog(
  disk: Disk,
  lastSeq = 0,
  options: Partial<SegmentLogOptions> = {},
  found: Segment[] = [],
): SegmentLog {
  const none = () => {};
  return new SegmentLog(lastSeq, found, {
    disk,
    folder: FOLDER,
    onSealed: none,
    onWarning: none,
    onRefused: none,
    ...options,
  });
}

/** Writes one segment with a frame for each text, seals it. */
export async function writeSegment(disk: Disk, firstSeq: number, frames: string[]): Promise<void> {
  const log = openLog(disk, firstSeq - 1);
  for (const text of frames) await log.append(text);
  await log.seal();
}

/** Recovers, then folds every segment. */
export async function foldAll(disk: Disk): Promise<void> {
  for (const segment of (await recovered(disk)).segments) await foldSegment(disk, FOLDER, segment, hooks);
}

/** Names in the folder, without checksums, sorted. */
export async function names(disk: Disk): Promise<string[]> {
  return (await disk.list(FOLDER)).map((name) => name.replace(/-[0-9a-f]{8}\.sqlite/, "").replace(/0{9}/g, "")).sort();
}

function bytesOf(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString());
}
