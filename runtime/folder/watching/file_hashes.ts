import { createHash } from "node:crypto";
import { readRegularFile } from "../../host/regular_file.ts";
import { isSettled, type Mark, markFile } from "../folder.ts";

/** A file's content by its hash. */
export interface Content {
  /** For a missing or unreadable file, the hash of its mark. */
  hash: string;
  /** When it was last changed, by its file system's clock. */
  savedAt: number;
}

/** Reads a file's hash, by its absolute path. */
export type Look = (path: string) => Promise<Content>;

/** Hashes of files. Files whose mark is unchanged are not read again. */
export class FileHashes {
  readonly #known = new Map<string, { mark: Mark; hash: string }>();

  /** Reads each file only once, however often it is asked for. */
  look(): Look {
    const contents = new Map<string, Promise<Content>>();
    return (path) => {
      const content = contents.get(path) ?? this.#read(path);
      contents.set(path, content);
      return content;
    };
  }

  /** Forgets all other files. */
  keep(paths: Set<string>): void {
    for (const path of this.#known.keys()) if (!paths.has(path)) this.#known.delete(path);
  }

  async #read(path: string): Promise<Content> {
    const lookedAt = Date.now();
    const mark = markFile(path);
    const known = this.#known.get(path);
    if (known?.mark.state === mark.state) return { hash: known.hash, savedAt: mark.savedAt };
    const hash = await readRegularFile(path).then(hashOf, () => mark.state);
    if (isSettled(mark, lookedAt)) this.#known.set(path, { mark, hash });
    else this.#known.delete(path);
    return { hash, savedAt: mark.savedAt };
  }
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
