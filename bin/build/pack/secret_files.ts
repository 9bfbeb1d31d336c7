import { realpath } from "node:fs/promises";
import { sep } from "node:path";
import type { Settings } from "../../../runtime/folder/loaded.ts";

/** The files that secrets come from, by their real paths: a link to one of them counts as the same file. */
export class SecretFiles {
  private constructor(private readonly places: string[]) {}

  static async of({ secrets }: Pick<Settings, "secrets">): Promise<SecretFiles> {
    const places = await Promise.all([...secrets.files, ...secrets.folders].map(realPath));
    return new SecretFiles(places);
  }

  /** @param path absolute */
  async has(path: string): Promise<boolean> {
    const real = await realPath(path);
    return this.places.some((place) => real === place || real.startsWith(place + sep));
  }
}

/** A missing file is known by its own path. */
async function realPath(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}
