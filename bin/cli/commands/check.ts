import type { Command } from "commander";
import { type CheckedFolder, checkFolder, checkPrograms } from "../../../runtime/app/check_folder.ts";
import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { runTests } from "../../../runtime/testing/run_tests.ts";
import { nextTimes } from "../../../runtime/triggers/cron_every_at.ts";
import { foldersToLoad } from "../folders.ts";
import type { TestResult } from "../../../runtime/model/test.ts";
import { progress } from "../print/progress.ts";
import { type Checked, count, printChecked, printSummary, resultPrinter } from "../print/checks.ts";
import { writeTestFrom } from "./try.ts";
import {
  addCommand,
  type CommonOptions,
  ExitCode,
  print,
  sameFolderOption,
  type Session,
  setOption,
} from "../session.ts";
import { startLog } from "../start_log.ts";

/** How many of the next cron times are shown. */
const NEXT_TIMES = 5;

/** `check`: loads the folder and reports its problems. */
export function addCheck(program: Command, session: Session): void {
  addCommand(
    program,
    "check",
    "load and check only: problems with their positions, and the next cron times",
    sameFolderOption(),
  )
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(setOption())
    .option("--programs", "also look at the programs of the commands, and at their versions")
    .addHelpText("after", "\nExits with 0, or with 2 if there is a problem that is more than a warning")
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { programs?: true }>();
      const folders = await foldersToLoad(folder, options);
      await startLog(options.log, "warning");
      const loaded = await checkFolder({ ...folders, env: options.env, set: options.set });
      if (options.programs) loaded.problems.push(...await checkPrograms(loaded.commands, folders.folder));
      print(session, options, checkedOf(loaded, session.terminal.now), printChecked);
      if (loaded.problems.some(({ severity }) => severity === "error")) session.exitCode = ExitCode.broken;
    });
}

function checkedOf({ rules, problems, packages }: CheckedFolder, now: number): Checked {
  const listing = [...rules.values()].map(({ id, file, triggers }) => ({
    id,
    file,
    triggers: triggers.map(({ id, kind, args, batch }) => {
      return {
        id,
        kind,
        ...kind === "cron" && { next: nextTimes(args, now, NEXT_TIMES) },
        ...batch?.cron !== undefined && { batch: nextTimes({ ...batch }, now, NEXT_TIMES) },
      };
    }),
  }));
  return { rules: listing.sort((a, b) => a.id < b.id ? -1 : 1), packages, problems };
}

/** `test`: runs the tests of a folder on a simulated clock. */
export function addTest(program: Command, session: Session): void {
  addCommand(program, "test", "run the tests: blocks and *.test.ts, on a simulated clock", sameFolderOption())
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(setOption())
    .option("--from <run>", "write a test of this run into the file of its rule, or beside it, instead")
    .addHelpText("after", "\nExits with 0; 1 if a test failed; 2 if a rule or a test does not load")
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { from?: string }>();
      const folders = await foldersToLoad(folder, options);
      await startLog(options.log, "info");
      if (options.from !== undefined) return await writeTestFrom(session, options, folders, options.from);
      const { terminal } = session;
      const printResult = options.json ? undefined : resultPrinter(terminal);
      let ended = 0;
      const onResult = (result: TestResult) => {
        printResult?.(result);
        progress.show(`${count(++ended, "test")} so far, the last of ${result.file}`);
      };
      progress.show("loading the rules");
      const report = await runTests({ ...folders, env: options.env, set: options.set, onResult })
        .finally(() => progress.end());
      if (options.json) terminal.write(writeExactJson(report, 2) + "\n");
      else printSummary(terminal, report);
      const isFailed = report.results.some(({ failure }) => failure !== undefined);
      session.exitCode = report.problems.length > 0 ? ExitCode.broken : isFailed ? ExitCode.failed : ExitCode.ok;
    });
}
