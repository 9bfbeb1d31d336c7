import { type Command, InvalidArgumentError } from "commander";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDuration } from "../../../runtime/model/duration.ts";
import { hintAtUnknown } from "../../../runtime/language/hints.ts";
import { parseTime } from "../../../runtime/language/expectation.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { TestFolder } from "../../../runtime/testing/test_folder.ts";
import { testOfRun } from "../../../runtime/testing/test_of_run.ts";
import { writeTest } from "../../../runtime/testing/write_test.ts";
import { tryRule, wouldFail } from "../../../runtime/testing/try_rule.ts";
import { idOfRun, RefusedError } from "../client.ts";
import { type Folders, foldersInUse } from "../folders.ts";
import { openPast } from "../past.ts";
import { printProblems } from "../print/checks.ts";
import { printTried, printWritten } from "../print/tried.ts";
import { addCommand, type CommonOptions, ExitCode, print, type Session, setOption, wholeNumber } from "../session.ts";
import { startLog } from "../start_log.ts";

/** The most events of one dry run: all of them are in memory. */
const MOST = 1_000;

interface TryOptions extends CommonOptions {
  last: number;
  /** A time, or milliseconds ago. */
  since?: { at: number } | { ago: number };
  event?: string;
}

/** `try`: what the rule in the file would do with the last events, without doing it. */
export function addTry(program: Command, session: Session): void {
  addCommand(program, "try", "what the rule in the file would do with the last events; sends and stores nothing")
    .argument("<rule>", "id of a rule")
    .option("--last <count>", "the last events that it takes, at most 1000", count, 10)
    .option("--since <time>", "only events since then: a time such as 2026-11-21T09:00:00Z, or 2h ago as 2h", moment)
    .option("--event <id>", "only events with this id")
    .addOption(setOption())
    .addHelpText("after", "\nExits with 0; 1 if a run or a condition would fail; 2 if the rule does not load")
    .action(async (rule: string, _options, command: Command) => {
      const options = command.optsWithGlobals<TryOptions>();
      const { last, event } = options;
      const { now } = session.terminal;
      const since = options.since && ("at" in options.since ? options.since.at : now - options.since.ago);
      const folders = await foldersInUse(options);
      await startLog(options.log, "warning");
      const past = await openPast(folders.data, now);
      try {
        const folder = { ...folders, env: options.env, set: options.set };
        const tried = await withCache(folder, (folder) => tryRule(folder, past, { rule, last, since, event, now }));
        if (tried.kind === "unknown") throw unknownRule(rule, tried.known);
        if (tried.kind === "broken") {
          print(session, options, tried.problems, printProblems);
          session.exitCode = ExitCode.broken;
          return;
        }
        const { report } = tried;
        if (past.hidSecrets()) report.notes.push("not known: secrets in the events, which the running program masks");
        print(session, options, report, printTried);
        if (wouldFail(report)) session.exitCode = ExitCode.failed;
      } finally {
        await past.close();
      }
    });
}

/**
 * `test --from`: writes a test of a run.
 * @param folders where it is written, and where the run is
 */
export async function writeTestFrom(
  session: Session,
  options: CommonOptions,
  folders: Folders,
  text: string,
): Promise<void> {
  if (folders.prebuilt !== undefined) {
    throw new UsageError("Cannot write a test into the rules inside this program; name the folder that they come from");
  }
  const { now } = session.terminal;
  const past = await openPast(folders.data, now);
  try {
    const run = await idOfRun(text, past.runs);
    const made = await testOfRun({ ...folders, env: options.env, set: options.set }, past, { run, now });
    if (made.kind === "unknown") {
      throw new RefusedError(`Cannot make a test of run ${run}: its rule is not in ${folders.folder}`);
    }
    if (made.kind === "impossible") throw new RefusedError(made.reason);
    if (made.kind === "broken") {
      print(session, options, made.problems, printProblems);
      session.exitCode = ExitCode.broken;
      return;
    }
    const { test, left } = made.made;
    const written = await writeTest(folders.folder, made.made);
    const path = join(folders.folder, written.file);
    if (written.kind === "refused") throw new RefusedError(`Nothing is written to ${path}: ${written.reason}`);
    print(session, options, { file: path, line: written.line, name: test.name, left }, printWritten);
  } finally {
    await past.close();
  }
}

/** The error for a rule that the folder does not have. */
export function unknownRule(rule: string, known: string[]): RefusedError {
  return new RefusedError(`There is no rule "${rule}"; ${hintAtUnknown(rule, known)}`);
}

/** Loads a folder with a cache of its own, as the data folder must not change. */
async function withCache<T>(folder: TestFolder, load: (folder: TestFolder) => Promise<T>): Promise<T> {
  const cache = await mkdtemp(join(tmpdir(), "whenthen-try-"));
  try {
    return await load({ ...folder, cache });
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

function moment(text: string): { at: number } | { ago: number } {
  const ago = parseDuration(text);
  if (ago !== undefined) return { ago };
  const at = parseTime(text);
  if (at !== undefined) return { at };
  throw new InvalidArgumentError(
    `expected a time such as 2026-11-21T09:00:00Z or a duration such as 2h, got "${text}"`,
  );
}

function count(text: string): number {
  const number = wholeNumber("a count")(text);
  if (number >= 1 && number <= MOST) return number;
  throw new InvalidArgumentError(`expected a count from 1 to ${MOST}, got "${text}"`);
}
