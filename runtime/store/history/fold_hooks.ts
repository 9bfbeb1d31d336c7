import type { Disk } from "../../host/disk.ts";
import type { Catalogue } from "./catalogue.ts";
import { IdentityPacker, writeIds } from "./ids_file.ts";
import type { Text } from "./lines.ts";
import { readPart } from "./part_reader.ts";
import { type MadePart, PartWriter } from "./part_writer.ts";

export { mergeIds } from "./ids_file.ts";

/** Receives the history lines of a segment unchanged and in order; headers are JSON. */
export interface PartSink {
  event(header: string, text: Text): void;
  run(header: string, text: Text): void;
  more(header: string, text: Text): void;
  /** Returns the same bytes for the same lines. */
  finish(): MadePart;
  /** Abandons the part; called instead of `finish`. */
  discard(): void;
}

/**
 * Creates the part of a segment.
 * @param range its frames
 * @param bytes of the segment
 */
export async function openHistory(range: { first: number; last: number }, bytes: number): Promise<PartSink> {
  const writer = await PartWriter.create(range.first, bytes);
  return {
    event: (header, text) => writer.event(JSON.parse(header), text),
    run: (header, text) => writer.run(JSON.parse(header), text),
    more: (header, text) => writer.more(JSON.parse(header), text),
    finish: () => writer.finish(range.last),
    discard: () => writer.discard(),
  };
}

/** Reads the catalogue from a part; undefined if that cannot be read. */
export async function readCatalogue(disk: Disk, folder: string, file: string): Promise<Catalogue | undefined> {
  const { result } = await readPart(disk, folder, { file, read: "catalogue", args: {} });
  return result.kind === "read" ? result.result : undefined;
}

/** Receives the identities of a segment unchanged. */
export interface IdsSink {
  /**
   * @param hash 32 hexadecimal digits
   * @param text JSON: `[event, at, within or null, runs, flags]`
   */
  id(hash: string, text: string): void;
  /** Returns the same bytes for the same identities. */
  finish(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Creates the ids file of a segment. */
export function openIds(): Promise<IdsSink> {
  const packer = new IdentityPacker();
  return Promise.resolve({
    id(hash, text) {
      const [event, at, within, runs, flags] = JSON.parse(text);
      packer.add(hash, { event, at, within, runs, flags });
    },
    finish: () => writeIds(packer.finish()),
  });
}
