import type { Command } from "commander";
import { env } from "node:process";
import { type OnceReport, openApp } from "../../../runtime/app/app.ts";
import { ExitCode } from "../exit_codes.ts";
import { foldersToLoad } from "../folders.ts";
import { maskLog, startLog } from "../start_log.ts";
import type { CommonOptions } from "../options.ts";
import { printOnce } from "../print/once.ts";
import { addCommand, print, type Session } from "../session.ts";
import { VERSION } from "../version.ts";
import { StopSignal } from "../stop_signal.ts";

/** `once`: one pass over everything, for CI jobs. */
export function addOnce(program: Command, session: Session): void {
  addCommand(program, "once", "poll each poller once, fire what cron owes, finish or suspend all runs")
    .argument("[folder]", "the rules folder (default: rules)")
    .option("--require-state", "exit 3 if the data folder is new, instead of starting as on the first day")
    .addHelpText(
      "after",
      "\nExits with 0; 1 if a run or a poll failed; 2 if a rule does not load; 3 see --require-state",
    )
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { requireState?: true }>();
      const folders = await foldersToLoad(folder, options.data);
      await startLog(options.log, "info");
      const opening = { ...folders, env: options.env, token: env.WHENTHEN_TOKEN, version: VERSION };
      const app = await openApp(opening, session.ports);
      maskLog((text) => app.mask(text));
      using signal = new StopSignal();
      try {
        if (options.requireState && await app.isNew()) {
          session.terminal.write(`The data folder ${folders.data} is new: nothing is known of earlier passes\n`);
          session.exitCode = ExitCode.newStore;
          return;
        }
        const report = await Promise.race([app.once(), signal.received]);
        if (report === undefined) return;
        print(session, options, report, printOnce);
        session.exitCode = exitCodeOf(report);
      } finally {
        await app.stop();
      }
    });
}

/** A rule that does not load outweighs a run that failed: it never had a chance to run. */
function exitCodeOf({ broken, failedRuns, failures }: OnceReport): ExitCode {
  if (broken.length > 0) return ExitCode.broken;
  return failedRuns.length + failures.length > 0 ? ExitCode.failed : ExitCode.ok;
}
