import { type Command, Option } from "commander";
import { resolve } from "node:path";
import { type CheckedFolder, checkFolder } from "../../../runtime/app/check_folder.ts";
import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { zoneOf } from "../../../runtime/language/fields/cron_schedule.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { JsonObject } from "../../../runtime/model/json.ts";
import { runTests, type TestReport } from "../../../runtime/testing/run_tests.ts";
import { nextTimes } from "../../../runtime/triggers/cron_every_at.ts";
import { type CheckTarget, foldersToLoad, targetsToCheck } from "../folders.ts";
import type { TestResult } from "../../../runtime/model/test.ts";
import { progress } from "../print/progress.ts";
import { type Checked, count, printChecked, printSummary, resultPrinter } from "../print/checks.ts";
import { writeTestFrom } from "./try.ts";
import { cronInWords } from "../print/cron.ts";
import {
  githubAnnotations,
  junitOfCheck,
  junitOfTests,
  pathFrom,
  REPORTS,
  repositoryRoot,
  sarifLog,
} from "../print/reports.ts";
import {
  addCommand,
  type CommonOptions,
  ExitCode,
  folderOption,
  sameFolderOption,
  type Session,
  setOption,
} from "../session.ts";
import { startLog } from "../start_log.ts";

/** How many of the next cron times are shown. */
const NEXT_TIMES = 5;

interface CheckOptions extends CommonOptions {
  programs?: true;
  format: "text" | "json" | typeof REPORTS[number];
}

/** `check`: loads a folder, or some of its files, and reports the problems. */
export function addCheck(program: Command, session: Session): void {
  addCommand(
    program,
    "check",
    "load and check only: problems with their positions, and the next cron times",
    folderOption("the rules folder of the files (default: the nearest one above each)"),
  )
    .argument(
      "[paths...]",
      "the rules folder (default: rules), or files of it: only they and what they call are checked",
    )
    .addOption(setOption())
    .addOption(formatOption([...REPORTS]))
    .option("--programs", "also look at the programs of the commands, and at their versions")
    .addHelpText("after", "\nExits with 0, also if there are warnings; or with 2 if there is a problem")
    .action(async (paths: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<CheckOptions>();
      const targets = await targetsToCheck(paths, options);
      await startLog(options.log, "warning");
      const all: CheckedTarget[] = [];
      for (const target of targets) all.push(await checkTarget(target, options, session.terminal.now));
      const checked: CheckedTarget = {
        rules: all.flatMap(({ rules }) => rules),
        packages: Object.assign({}, ...all.map(({ packages }) => packages)),
        problems: all.flatMap(({ problems }) => problems),
        files: all.flatMap(({ files }) => files),
      };
      await report(session, options, checked);
      if (checked.problems.some(({ severity }) => severity === "error")) session.exitCode = ExitCode.broken;
    });
}

/** The result with the files that were checked. */
interface CheckedTarget extends Checked {
  files: string[];
}

/**
 * Checks a folder. Paths are from the folder; for files from the current folder, as they were given, and for reports from the
 * root of the repository.
 */
async function checkTarget(target: CheckTarget, options: CheckOptions, now: number): Promise<CheckedTarget> {
  const { env, set, programs, format } = options;
  const found = await checkFolder({ ...target, env, set, programs });
  const files = new Set([...found.rules.values(), ...found.commands.values()].map(({ file }) => file));
  for (const file of target.files ?? []) files.add(file);
  const checked = { ...checkedOf(found, now), files: [...files].sort() };
  const isForTools = REPORTS.some((name) => name === format);
  if (!isForTools && target.files === undefined) return checked;
  const root = isForTools ? repositoryRoot() : resolve(".");
  const placed = <T extends { file: string }>(one: T) => ({ ...one, file: pathFrom(root, target.folder, one.file) });
  return {
    ...checked,
    rules: checked.rules.map(placed),
    problems: checked.problems.map(placed),
    files: checked.files.map((file) => placed({ file }).file),
  };
}

async function report(
  { terminal }: Session,
  { json, format }: CheckOptions,
  { files, ...checked }: CheckedTarget,
): Promise<void> {
  const { problems } = checked;
  switch (json ? "json" : format) {
    case "text":
      return printChecked(terminal, checked);
    case "json":
      return terminal.write(writeExactJson(checked, 2) + "\n");
    case "github":
      return terminal.write(githubAnnotations(problems));
    case "sarif":
      return terminal.write(JSON.stringify(sarifLog(problems, repositoryRoot()), null, 2) + "\n");
    case "junit":
      return terminal.write(await junitOfCheck(files, problems));
  }
}

const formatOption = (reports: string[]) =>
  new Option("--format <format>", "what is printed: text, or a report for CI").choices(["text", "json", ...reports])
    .default("text").conflicts("json");

function checkedOf({ rules, problems, packages }: CheckedFolder, now: number): Checked {
  const listing = [...rules.values()].map(({ id, file, triggers }) => ({
    id,
    file,
    triggers: triggers.map(({ id, kind, args, batch }) => ({
      id,
      kind,
      ...kind === "cron" && { next: nextTimes(args, now, NEXT_TIMES), cron: factsOf(args) },
      ...batch?.cron !== undefined && {
        batch: nextTimes({ ...batch }, now, NEXT_TIMES),
        batchCron: factsOf({ ...batch }),
      },
    })),
  }));
  return { rules: listing.sort((a, b) => a.id < b.id ? -1 : 1), packages, problems };
}

function factsOf({ cron, timezone }: JsonObject) {
  const words = cronInWords(String(cron));
  const zone = zoneOf(timezone === undefined ? undefined : String(timezone));
  return { zone, ...words !== undefined && { words } };
}

interface TestOptions extends CommonOptions {
  filter?: string;
  from?: string;
  format: "text" | "json" | "junit";
}

/** `test`: runs the tests of a folder on a simulated clock. */
export function addTest(program: Command, session: Session): void {
  addCommand(program, "test", "run the tests: blocks and *.test.ts, on a simulated clock", sameFolderOption())
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(setOption())
    .option("--filter <text>", "only the tests with this text in their name or file, or that match /pattern/")
    .addOption(formatOption(["junit"]))
    .option("--from <run>", "write a test of this run into the file of its rule, or beside it, instead")
    .addHelpText(
      "after",
      "\nExits with 0; 1 if a test failed, or none has what --filter asks for; 2 if a rule or a test does not load",
    )
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<TestOptions>();
      const { env, set, json, format, filter } = options;
      const isMeant = filter === undefined ? undefined : filterOf(filter);
      const folders = await foldersToLoad(folder, options);
      await startLog(options.log, "info");
      if (options.from !== undefined) return await writeTestFrom(session, options, folders, options.from);
      const { terminal } = session;
      const shown = json ? "json" : format;
      const printResult = shown === "text" ? resultPrinter(terminal) : undefined;
      let ended = 0;
      const onResult = (result: TestResult) => {
        printResult?.(result);
        progress.show(`${count(++ended, "test")} so far, the last of ${result.file}`);
      };
      progress.show("loading the rules");
      const report = await runTests({ ...folders, env, set, filter: isMeant, onResult }).finally(() => progress.end());
      if (shown === "text") printSummary(terminal, report);
      else if (shown === "json") terminal.write(writeExactJson(report, 2) + "\n");
      else {
        const root = repositoryRoot();
        terminal.write(await junitOfTests(report, (file) => pathFrom(root, folders.folder, file)));
      }
      session.exitCode = codeOf(report);
    });
}

function codeOf({ results, problems, leftOut }: TestReport): ExitCode {
  if (problems.length > 0) return ExitCode.broken;
  const isFailed = results.some(({ failure }) => failure !== undefined);
  return isFailed || (leftOut !== undefined && results.length === 0) ? ExitCode.failed : ExitCode.ok;
}

/** @throws UsageError if it is no pattern */
function filterOf(text: string): (test: { file: string; name: string }) => boolean {
  const [, pattern] = /^\/(.+)\/$/.exec(text) ?? [];
  if (pattern === undefined) return ({ file, name }) => name.includes(text) || file.includes(text);
  try {
    const expression = new RegExp(pattern, "u");
    return ({ file, name }) => expression.test(name) || expression.test(file);
  } catch (error) {
    throw new UsageError(`Cannot filter tests by "${text}": ${error instanceof Error ? error.message : error}`);
  }
}
