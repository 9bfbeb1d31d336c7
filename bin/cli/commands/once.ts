import type { Command } from "commander";
import { env } from "node:process";
import { type OnceReport, openApp } from "../../../runtime/app/app.ts";
import { ExitCode } from "../exit_codes.ts";
import { foldersToLoad } from "../folders.ts";
import { oneLine, paint, type Terminal } from "../print/terminal.ts";
import { addCommand, type CommonOptions, print, type Session, setOption } from "../session.ts";
import { StopSignal } from "../signals.ts";
import { maskLog, startLog } from "../start_log.ts";
import { VERSION } from "../version.ts";

/** `once`: one pass over everything, for CI jobs. */
export function addOnce(program: Command, session: Session): void {
  addCommand(program, "once", "poll each poller once, fire the crons that are due, finish or suspend all runs")
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(setOption())
    .option("--require-state", "exit 3 if the data folder is new, instead of starting afresh")
    .addHelpText(
      "after",
      "\nExits with 0; 1 if a run or a poll failed; 2 if a rule does not load; 3 see --require-state",
    )
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { requireState?: true }>();
      const folders = await foldersToLoad(folder, options.data);
      await startLog(options.log, "info");
      const opening = { ...folders, env: options.env, set: options.set, token: env.WHENTHEN_TOKEN, version: VERSION };
      const app = await openApp(opening, session.ports);
      maskLog((text) => app.mask(text));
      using signal = new StopSignal();
      try {
        if (options.requireState && await app.isNew()) {
          session.terminal.write(`The data folder ${folders.data} is new: there is no state of earlier passes\n`);
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

/** Prints the result of a pass: the failures, or that there were none. */
function printOnce(terminal: Terminal, { broken, failedRuns, failures }: OnceReport): void {
  const complain = (text: string) => terminal.write(paint(terminal, "red", oneLine(text)) + "\n");
  for (const file of broken) complain(`${file} does not load`);
  for (const { rule, trigger, message } of failures) complain(`${rule}: ${trigger} failed: ${message}`);
  for (const { id, rule, error } of failedRuns) {
    complain(`${rule}: run ${id} failed: ${error?.message ?? "no message"}`);
  }
  if (broken.length + failures.length + failedRuns.length === 0) terminal.write("The pass succeeded\n");
}
