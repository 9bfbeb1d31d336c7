import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Job, Load } from "../../bench/load/job.ts";

const GENERATOR = new URL("../../bench/load/generator.ts", import.meta.url).pathname;

/** Sends requests at a rate, however long the answers take, from a separate process; ends it after so many seconds. */
export async function openLoop(job: Job & { rate: number }, seconds: number): Promise<Load> {
  const { stdout } = await promisify(execFile)(Deno.execPath(), ["run", "-A", GENERATOR, JSON.stringify(job)], {
    timeout: seconds * 1_000,
    killSignal: "SIGKILL",
  });
  return JSON.parse(stdout);
}
