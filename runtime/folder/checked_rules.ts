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

/** A hash, and in the next line what it is of. */
const FILE = "rules.checked";
/** Characters of a value: aliases of YAML make large ones of small files. */
const LARGEST = 100_000;

/**
 * What the start before found out about the YAML rules of a folder, so that a start reads and checks only those that have changed. A
 * file counts as the same where its path, its text and the program are. Nothing is kept of a file with problems, which would
 * need its positions, or that may look at the environment or the clock, on which the check would depend.
 */
export class CheckedRules {
  /**
   * @param folder the cache folder
   * @param build names the code of this program; without it nothing is kept
   */
  constructor(private readonly folder: string, private readonly build: string | undefined) {}

  /** By {@link keyOf}; a damaged file counts as none. */
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

  /** Keeps these and no others, by rename, so that another process never reads half of it. Without a data folder, or room, it does nothing. */
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

/** Whether what the check gives depends on nothing but the file, the program and what the memo says, and is small. */
export function canKeep(value: JsonObject, { result }: Memo<RuleCheck>): boolean {
  if (result.rule === undefined || result.problems.length > 0) return false;
  const text = writeExactJson(value);
  return text.length <= LARGEST && !/env|now/.test(text);
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
