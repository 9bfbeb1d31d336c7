import { env } from "node:process";
import { embedded } from "../../host/embedded.ts";
import { unpack } from "../../host/unpack.ts";

export type Esbuild = typeof import("esbuild");

/** esbuild reads this variable while it is imported. */
const EXECUTABLE = "ESBUILD_BINARY_PATH";

let loading: Promise<Esbuild> | undefined;

/**
 * Loads esbuild when the first TypeScript file is found: most folders need none. In the single binary its executable is
 * unpacked first.
 * @param cacheFolder where to unpack it if the user has no cache folder
 */
export async function esbuild(cacheFolder: string): Promise<Esbuild> {
  loading ??= load(cacheFolder);
  try {
    return await loading;
  } catch (error) {
    // A full disk may have room the next time.
    loading = undefined;
    throw error;
  }
}

/** Ends esbuild's service process, which starts with the first load. Call it at shutdown; a later load starts it anew. */
export async function stopEsbuild(): Promise<void> {
  await (await loading?.catch(() => undefined))?.stop();
}

async function load(cacheFolder: string): Promise<Esbuild> {
  if (!embedded) return await import("esbuild");
  const before = env[EXECUTABLE];
  env[EXECUTABLE] = await unpack("esbuild", embedded.esbuild, cacheFolder);
  try {
    return await import("esbuild");
  } finally {
    // Children and rule code inherit the environment.
    if (before === undefined) delete env[EXECUTABLE];
    else env[EXECUTABLE] = before;
  }
}
