import type { Command } from "commander";
import { stat } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { execPath } from "node:process";
import { embedded } from "../../../runtime/host/embedded.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import { ExitCode } from "../exit_codes.ts";
import { foldersToLoad } from "../folders.ts";
import { startLog } from "../start_log.ts";
import { type CommonOptions, dataOption, envOption, logOption, type Session } from "../session.ts";
import { collect } from "../../build/pack/collect.ts";
import { encode } from "../../build/pack/packed_folder.ts";
import { writePacked } from "../../build/pack/payload.ts";
import { count, printProblems } from "../print/checked.ts";

/** `pack`: makes a copy of the binary with a folder inside. */
export function addPack(program: Command, session: Session): void {
  program.command("pack").description("make a copy of this program with a folder inside, which runs that folder")
    .argument("<folder>", "the rules folder")
    .requiredOption("-o, --output <file>", "where to")
    .addOption(dataOption()).addOption(envOption()).addOption(logOption())
    .addHelpText(
      "after",
      "\nLeft out are hidden files (so .env), files of secrets that whenthen.yaml names, and node_modules (what TypeScript imports is in its bundle)." +
        "\nExits with 2 if the folder has problems",
    )
    .action(async (folder: string, _options, command: Command) => {
      if (!embedded) {
        throw new UsageError(
          "Cannot pack from source: a packed file is a copy of the binary; make it by: deno task compile",
        );
      }
      const { output, ...options } = command.optsWithGlobals<CommonOptions & { output: string }>();
      const folders = await foldersToLoad(folder, options.data);
      const out = await placeOf(output);
      await startLog(options.log, "warning");
      const { packed, problems, rules } = await collect({ ...folders, env: options.env, out });
      printProblems(session.terminal, problems);
      if (packed === undefined) {
        session.exitCode = ExitCode.broken;
        return;
      }
      const payload = encode(packed);
      await writePacked(execPath, payload, out).catch((error) => {
        throw new UsageError(`Cannot write ${output}: ${(error as Error).message}`);
      });
      const what = `${count(rules, "rule")} in ${count(packed.files.length, "file")}`;
      session.terminal.write(`${relative("", out)} runs ${what} (${Math.ceil(payload.length / 1024)} kB packed)\n`);
    });
}

async function placeOf(output: string): Promise<string> {
  const out = resolve(output);
  const [there, above] = await Promise.all([out, dirname(out)].map((path) => stat(path).catch(() => undefined)));
  if (there?.isDirectory()) throw new UsageError(`Cannot write ${output}: it is a folder; name a file`);
  if (!above?.isDirectory()) throw new UsageError(`Cannot write ${output}: there is no folder ${dirname(out)}`);
  return out;
}
