import { execFile } from "node:child_process";
import { promisify } from "node:util";

/**
 * Runs a program on the build machine.
 * @returns its output
 * @throws Error with its output as the reason if it fails
 */
export async function runTool(program: string, args: string[], cwd: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { cwd, maxBuffer: 2 ** 26 });
    return stdout;
  } catch (error) {
    const { stderr, stdout, message } = error as { stderr?: string; stdout?: string; message: string };
    const reason = [stdout, stderr].join("").trim() || message;
    throw new Error(`Cannot run ${program} ${args.join(" ")}: ${reason}`, { cause: error });
  }
}
