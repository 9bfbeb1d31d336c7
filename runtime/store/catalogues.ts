import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import { asJson } from "../model/json.ts";
import type { Background } from "./background.ts";
import type { Catalogue } from "./history/catalogue.ts";
import { unreadable } from "./history/history.ts";
import type { PartAnswer } from "./history/part_reader.ts";
import { ordered } from "./ledger/ordered.ts";
import type { Rows } from "./ledger/rows.ts";
import type { CheckedFile } from "./log/files.ts";
import type { storeTasks } from "./tasks.ts";

/** The sources of catalogues. */
export interface CatalogueSources {
  rows: Rows;
  /** The part files on disk. */
  parts: CheckedFile[];
  reads: Background<typeof storeTasks>;
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
}

/**
 * The catalogues of the parts on disk. They are live rows. If a crash lost one, it is read from its part, and the rows are
 * updated to match the files. A crash while a part was thinned leaves two files of one range: both are complete, and the one
 * that the row names stays.
 */
export async function findCatalogues({ rows, parts, ...sources }: CatalogueSources): Promise<Catalogue[]> {
  const known = new Map([...rows.all("part")].map(([key, row]) => [key, row as unknown as Catalogue]));
  const byRange = Map.groupBy(parts, ({ first }) => ordered(first));
  for (const [key, { file }] of known) {
    if (byRange.has(key)) continue;
    // Retention drops the row first, then the file.
    sources.onWarning(`Cannot find ${file}, a part of history: what was in it is not shown any more`);
    rows.drop("part", key);
  }
  const catalogues: Catalogue[] = [];
  for (const [key, files] of byRange) {
    const names = files.map(({ name }) => name);
    const row = known.get(key);
    const isNamed = row !== undefined && names.includes(row.file);
    const catalogue = isNamed ? row : await readFirst(names, sources);
    if (catalogue === undefined) continue;
    catalogues.push(catalogue);
    if (!isNamed) rows.put("part", key, asJson(catalogue));
    const others = names.filter((name) => name !== catalogue.file);
    for (const name of others) await sources.disk.remove(join(sources.folder, name)).catch(() => {});
  }
  rows.keep();
  return catalogues;
}

/** The catalogue of the first file that can be read. */
async function readFirst(
  names: string[],
  { reads, onWarning }: Pick<CatalogueSources, "reads" | "onWarning">,
): Promise<Catalogue | undefined> {
  for (const file of names) {
    const answer = await reads.run("readPart", { file, read: "catalogue", args: {} }) as PartAnswer<"catalogue">;
    if (answer.kind === "read") return answer.result;
    if (answer.kind !== "missing") onWarning(unreadable(file, answer.reason));
  }
}
