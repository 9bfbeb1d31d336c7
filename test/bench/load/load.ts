import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import type { Job, Load } from "./job.ts";

const GENERATOR = new URL("./generator.ts", import.meta.url).pathname;

/**
 * Sends requests from a process of its own.
 * @param binary runs the generator: a compiled whenthen is also the Bun that it was compiled with
 */
export async function load(binary: string, job: Job): Promise<Load> {
  const { stdout } = await promisify(execFile)(binary, ["run", GENERATOR, JSON.stringify(job)], {
    env: { ...process.env, BUN_BE_BUN: "1" },
  });
  const load: Load = JSON.parse(stdout);
  if (load.answered === 0) throw new Error(`Nothing was answered: ${load.failure}`);
  return load;
}
