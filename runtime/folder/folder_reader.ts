import { lstat, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { IrregularFileError, readRegularText } from "../host/regular_file.ts";
import type { Problem } from "../model/problem.ts";
import {
  absolute,
  type FolderScope,
  hasUnreadableName,
  isRuleFile,
  isSettled,
  listFolder,
  type Mark,
  markFiles,
} from "./folder.ts";
import { lineOf } from "./yaml/yaml.ts";

/** A file of the rules folder that rules may be made of. */
export interface FolderFile {
  /** Relative to the folder, with forward slashes. */
  path: string;
  /** Its content, or why it cannot be read. */
  text?: string;
  failure?: string;
  /** It is a folder that cannot be read: the files in it are unknown. */
  isFolder?: true;
}

/** A file as it was read, with its mark from just before. */
interface Known {
  path: string;
  mark: Mark;
  file?: FolderFile;
}

/** How often a file that was just emptied is read again, and the milliseconds in between. */
const LOOKS = 10;
const BETWEEN_LOOKS = 10;
/** Files read at the same time, far below the usual limit of open files. */
const AT_ONCE = 64;

/**
 * Reads the rules folder repeatedly. Each time it looks at every file's mark, but it reads only files whose mark has
 * changed.
 */
export class FolderReader {
  #known = new Map<string, Known>();

  /** @param fresh see {@link isSettled} */
  constructor(private readonly scope: FolderScope, private readonly fresh?: number) {}

  /**
   * All rule files: `*.yaml`, `*.yml` and `*.ts` in nested folders, without hidden ones, `node_modules`, the data folder,
   * tests and type declarations. Links are followed, but never in a circle. Then the folders that cannot be read.
   * @throws Error if the folder itself cannot be read
   */
  async read(): Promise<FolderFile[]> {
    const { files, closed } = await listFolder(this.scope);
    const paths = files.filter(isRuleFile);
    const lookedAt = Date.now();
    const marks = await markFiles(paths.map((path) => absolute(this.scope, path)));
    const all = paths.map((path): Known => {
      const mark = marks.get(absolute(this.scope, path))!;
      const before = this.#known.get(path);
      return before?.mark.state === mark.state ? before : { path, mark };
    });
    await this.#readEach(all.filter(({ file }) => file === undefined));
    const lasting = all.filter(({ file, mark }) => file!.text !== undefined && isSettled(mark, lookedAt, this.fresh));
    this.#known = new Map(lasting.map((one) => [one.path, one]));
    return [
      ...all.map(({ file }) => file!).filter(isThere),
      ...closed.map((one) => ({ ...one, isFolder: true as const })),
    ];
  }

  async #readEach(changed: Known[]): Promise<void> {
    for (let index = 0; index < changed.length; index += AT_ONCE) {
      await Promise.all(
        changed.slice(index, index + AT_ONCE).map(async (one) => one.file = await this.#read(one.path)),
      );
    }
  }

  async #read(path: string): Promise<FolderFile> {
    const at = absolute(this.scope, path);
    try {
      return { path, text: await readSaved(at) };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // Removed since it was listed: the event of its removal triggers the next load. A dangling link stays and is
      // reported.
      const facts = await lstat(at).catch(() => undefined);
      if (facts === undefined) {
        return hasUnreadableName(path) ? { path, failure: "the name of this file is not UTF-8" } : { path };
      }
      if (code === "ENOENT") return { path, failure: "this link leads to no file" };
      return { path, failure: error instanceof IrregularFileError ? message : `the file cannot be read: ${message}` };
    }
  }
}

function isThere({ text, failure }: FolderFile): boolean {
  return text !== undefined || failure !== undefined;
}

/**
 * Most programs save by emptying the file and then writing it. If it were read in between, the rule would seem to be
 * removed: its webhook would answer 404 for a moment.
 */
async function readSaved(path: string): Promise<string> {
  for (let look = 1;; look++) {
    const text = await readRegularText(path);
    if (text !== "" || look === LOOKS) return text;
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > LOOKS * BETWEEN_LOOKS) return text;
    await sleep(BETWEEN_LOOKS);
  }
}

/** Sorts problems by file, line and column, without duplicates, and adds the source line of each. */
export function arrange(problems: Problem[], files: FolderFile[]): Problem[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const shown = problems.map((problem): Problem => {
    const text = texts.get(problem.file);
    if (problem.sourceLine !== undefined || text === undefined) return problem;
    const sourceLine = lineOf(text, problem.at.line);
    return { ...problem, ...(sourceLine !== undefined && { sourceLine }) };
  });
  const key = ({ file, at, message }: Problem) => `${file}\0${at.line}\0${at.column}\0${message}`;
  const once = [...new Map(shown.map((problem) => [key(problem), problem])).values()];
  return once.sort((a, b) => compare(a.file, b.file) || a.at.line - b.at.line || a.at.column - b.at.column);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
