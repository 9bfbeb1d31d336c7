import type { Command } from "commander";
import { resolve } from "node:path";
import { isDatabaseUrl, shownUrl } from "../../../runtime/database/connection.ts";
import { logLine } from "../../../runtime/host/log_line.ts";
import { count } from "../print/checks.ts";
import { type CommonOptions, jsonOption, logOption, print, type Session } from "../session.ts";
import { startLog } from "../start_log.ts";

/** `move-data`: copies all state from a folder to a database, or back. */
export function addMoveData(program: Command, session: Session): void {
  program.command("move-data").description(
    "copy all state from a data folder to a database, or back, whole or not at all",
  )
    .argument("<from>", "a data folder, or the URL of a database: postgres://…")
    .argument("<to>", "the other one, without state")
    .addOption(logOption()).addOption(jsonOption())
    .addHelpText("after", "\nThe first one stays as it is: delete it when the program works on the second one")
    .action(async (from: string, to: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      await startLog(options.log, "warning");
      const place = (given: string) => isDatabaseUrl(given) ? given : resolve(given);
      const { moveData } = await import("../../../runtime/database/move_data.ts");
      const moved = await moveData(place(from), place(to), (message) => logLine("warn", message, {}));
      const target = isDatabaseUrl(to) ? shownUrl(to) : to;
      print(session, options, moved, (terminal) => {
        terminal.write(
          `Copied ${count(moved.files, "file")}, ${moved.bytes} bytes. Start on it by: whenthen run --data ${target}\n`,
        );
      });
    });
}
