import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readExactJson, writeExactJson, writeRecordJson } from "../formats/exact_json.ts";
import type { JsonObject } from "../model/json.ts";
import type { Position } from "../model/problem.ts";
import type { Memo, RuleCheck } from "./checks.ts";

/** A rule file without problems, as it was read and checked. */
export interface CheckedFile {
  value: JsonObject;
  idAt: Position;
  memo: Memo<RuleCheck>;
}

/** The file's name. Its first line is the hash of the second. */
const FILE = "rules.checked";
/** Characters of a value: YAML aliases make small files large. */
const LARGEST = 100_000;

/**
 * The check results of a folder's YAML rules from the previous start, so that a start reads and checks only those that have
 * changed. A file counts as unchanged if its path, its text and the program are the same. Nothing is kept of a file with
 * problems, which would need its positions, or of one that may read the environment or the clock, on which the check would
 * depend.
 */
export class CheckedRules {
  /**
   * @param folder the cache folder
   * @param build names the code of this program; without it nothing is kept
   */
  constructor(private readonly folder: string, private readonly build: string | undefined) {}

  /** By {@link keyOf}; a damaged file counts as absent. */
  async read(): Promise<Map<string, CheckedFile>> {
    if (this.build === undefined) return new Map();
    try {
      const text = await readFile(join(this.folder, FILE), "utf8");
      const [hash] = text.split("\n", 1);
      const json = text.slice(hash.length + 1);
      return new Map(hash === hashOf(json) ? readExactJson(json) as [string, CheckedFile][] : []);
    } catch {
      return new Map();
    }
  }

  keyOf(path: string, text: string): string {
    return hashOf(`${this.build}\n${path}\n${text}`);
  }

  /**
   * Keeps exactly these, by rename, so that another process never reads half of the file. Does nothing without a data
   * folder or disk space.
   */
  async write(files: ReadonlyMap<string, CheckedFile>): Promise<void> {
    if (this.build === undefined) return;
    try {
      await mkdir(this.folder).catch(() => {});
      const temporary = join(this.folder, `${FILE}.${randomUUID()}.tmp`);
      const json = writeRecordJson([...files]);
      await writeFile(temporary, `${hashOf(json)}\n${json}`, { mode: 0o600 });
      await rename(temporary, join(this.folder, FILE));
    } catch {
      // The next start checks everything, as this one did.
    }
  }
}

/** Whether the check depends only on the file, the program and the contents of the memo, and its result is small. */
export function canKeep(value: JsonObject, { result }: Memo<RuleCheck>): boolean {
  if (result.rule === undefined || result.problems.length > 0) return false;
  const text = writeExactJson(value);
  return text.length <= LARGEST && !/env|now/.test(text);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
