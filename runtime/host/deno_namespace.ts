import process from "node:process";

/** The part of Deno's namespace that is replaced for rule code. */
interface Offered {
  env: unknown;
  exit: unknown;
  kill: unknown;
  chdir: unknown;
}

/**
 * Gives a worker the `Deno` namespace that code written for Deno expects, on every host: files, directories, process information
 * and so on. `Deno.env` is the worker's own environment, without secrets. Functions that affect the whole program are refused,
 * like those of `process`.
 */
export async function offerDeno(): Promise<void> {
  if (!("Deno" in globalThis)) {
    const shim = await import("@deno/shim-deno");
    Object.defineProperty(globalThis, "Deno", { value: { ...shim.Deno }, configurable: true, writable: true });
  }
  const own: Offered = { env: ownEnvironment(), exit: process.exit, kill: process.kill, chdir: process.chdir };
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(Deno, name, { value, configurable: true, enumerable: true });
  }
}

function ownEnvironment() {
  const { env } = process;
  return {
    get: (name: string) => env[name],
    has: (name: string) => name in env,
    set: (name: string, value: string) => void (env[name] = value),
    delete: (name: string) => void delete env[name],
    toObject: () => ({ ...env }),
  };
}
