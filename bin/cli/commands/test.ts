import type { Command } from "commander";
import { runTests } from "../../../runtime/testing/run_tests.ts";
import { ExitCode } from "../exit_codes.ts";
import { foldersToLoad } from "../folders.ts";
import { startLog } from "../start_log.ts";
import { addCommand, type CommonOptions, type Session, setOption } from "../session.ts";
import { printSummary, resultPrinter } from "../print/tests.ts";
import { writeExactJson } from "../../../runtime/formats/exact_json.ts";

/** `test`: runs the tests of a folder on a simulated clock. */
export function addTest(program: Command, session: Session): void {
  addCommand(program, "test", "run the tests: blocks and *.test.ts, on a simulated clock")
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(setOption())
    .addHelpText("after", "\nExits with 0; 1 if a test failed; 2 if a rule or a test does not load")
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      const folders = await foldersToLoad(folder, options.data);
      await startLog(options.log, "info");
      const { terminal } = session;
      const onResult = options.json ? undefined : resultPrinter(terminal);
      const report = await runTests({ ...folders, env: options.env, set: options.set, onResult });
      if (options.json) terminal.write(writeExactJson(report, 2) + "\n");
      else printSummary(terminal, report);
      const isFailed = report.results.some(({ failure }) => failure !== undefined);
      session.exitCode = report.problems.length > 0 ? ExitCode.broken : isFailed ? ExitCode.failed : ExitCode.ok;
    });
}
