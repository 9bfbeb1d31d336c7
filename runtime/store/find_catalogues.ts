import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import { unreadable } from "./history/history.ts";
import type { ReadPart } from "./history/part_reader.ts";
import { ordered } from "./ledger/keys.ts";
import type { Rows } from "./ledger/rows.ts";
import type { Catalogue } from "./ledger/tables.ts";
import type { CheckedFile } from "./log/files.ts";

/** The sources of catalogues. */
interface CatalogueSources {
  rows: Rows;
  /** The part files on disk. */
  parts: CheckedFile[];
  readPart: ReadPart;
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
  /** Another program decides, and changes the rows: which parts without a row it has just made. @default this one decides */
  isNew?: (part: CheckedFile) => boolean;
}

/**
 * The catalogues of the parts on disk. They are live rows. If a crash lost one, it is read from its part, and the rows are
 * updated to match the files. A crash while a part was thinned leaves two files of one range: both are complete, and the one
 * that the row names stays.
 */
export async function findCatalogues(
  { rows, parts, isNew, ...sources }: CatalogueSources,
): Promise<Catalogue[]> {
  const known = new Map(rows.all("part"));
  const byRange = Map.groupBy(parts, ({ first }) => ordered(first));
  const catalogues: Catalogue[] = [];
  for (const [key, catalogue] of known) {
    const { file } = catalogue;
    if (byRange.has(key)) continue;
    // It may be so new that it was not listed yet.
    if (isNew) {
      catalogues.push(catalogue);
      continue;
    }
    // Retention drops the row first, then the file.
    sources.onWarning(`Cannot find ${file}, a part of history: its history is no longer shown`);
    rows.drop("part", key);
  }
  for (const [key, files] of byRange) {
    const names = files.map(({ name }) => name);
    const row = known.get(key);
    // Retention has removed the row, and the file will follow.
    if (isNew && row === undefined && !isNew(files[0])) continue;
    const isNamed = row !== undefined && names.includes(row.file);
    const catalogue = isNamed ? row : await readFirst(names, sources);
    if (catalogue === undefined) continue;
    catalogues.push(catalogue);
    if (isNew) continue;
    if (!isNamed) rows.put("part", key, catalogue);
    const others = names.filter((name) => name !== catalogue.file);
    for (const name of others) await sources.disk.remove(join(sources.folder, name)).catch(() => {});
  }
  rows.keep();
  return catalogues;
}

/** The catalogue of the first file that can be read. */
async function readFirst(
  names: string[],
  { readPart, onWarning }: Pick<CatalogueSources, "readPart" | "onWarning">,
): Promise<Catalogue | undefined> {
  for (const file of names) {
    const answer = await readPart({ file, read: "catalogue", args: {} });
    if (answer.kind === "read") return answer.result;
    if (answer.kind !== "missing") onWarning(unreadable(file, answer.reason));
  }
}
