import { pathToFileURL } from "node:url";
import { esbuild, stopEsbuild } from "./esbuild.ts";
import type { LoadedTypeScript } from "./typescript.ts";
import { bundle } from "./typescript_bundle.ts";

/** TypeScript files that were bundled and described in advance, by path relative to their folder. */
export type Prebuilt = Record<string, LoadedTypeScript>;

/** Replaces the folder's path in bundles until its place is known. */
const SOMEWHERE = "/__whenthen_folder__";

/**
 * Makes the files loaded from a folder independent of its place: bundles without traces of this machine.
 * @param loaded the files by path, without problems
 */
export async function prebuild(
  folder: string,
  loaded: Map<string, LoadedTypeScript>,
  cacheFolder: string,
): Promise<Prebuilt> {
  const prebuilt: Prebuilt = {};
  try {
    for (const [file, result] of loaded) {
      if (result.kind === "problems") continue;
      const { code } = await bundle(file, folder, await esbuild(cacheFolder), SOMEWHERE);
      prebuilt[file] = { ...result, code, inputs: [] };
    }
  } finally {
    await stopEsbuild();
  }
  return prebuilt;
}

/** Sets the folder's place. */
export function placePrebuilt(prebuilt: Prebuilt, folder: string): Prebuilt {
  const url = pathToFileURL(folder).href;
  const path = JSON.stringify(folder).slice(1, -1);
  return Object.fromEntries(
    Object.entries(prebuilt).map(([file, result]) => {
      if (result.kind === "problems") return [file, result];
      const code = result.code.replaceAll(`file://${SOMEWHERE}`, () => url).replaceAll(SOMEWHERE, () => path);
      return [file, { ...result, code }];
    }),
  );
}
