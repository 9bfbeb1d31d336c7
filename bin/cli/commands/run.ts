import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { basename, relative, resolve } from "node:path";
import { argv, env, execPath } from "node:process";
import type { App } from "../../../runtime/app/app.ts";
import type { OnceReport } from "../../../runtime/app/trigger_reports.ts";
import { shownUrl } from "../../../runtime/database/connection.ts";
import { embedded } from "../../../runtime/host/embedded.ts";
import { FolderLostError } from "../../../runtime/host/lock.ts";
import { KeptServer } from "../../../runtime/host/kept_server.ts";
import { endReluctance } from "../../../runtime/host/large_work.ts";
import { logLine } from "../../../runtime/host/log_line.ts";
import { readAddress } from "../../../runtime/host/private_file.ts";
import { messageOf, UsageError } from "../../../runtime/model/errors.ts";
import type { RuleListing } from "../../../runtime/web/rules_api.ts";
import { openProgram } from "../client.ts";
import { DATA, type Folders, foldersToLoad } from "../folders.ts";
import { count } from "../print/checks.ts";
import { progress } from "../print/progress.ts";
import { oneLine, paint, type Terminal } from "../print/terminal.ts";
import {
  addCommand,
  type CommonOptions,
  dataOption,
  envOption,
  ExitCode,
  logFileOptions,
  logOption,
  print,
  sameFolderOption,
  type Session,
  setOption,
  wholeNumber,
} from "../session.ts";
import { StopSignal } from "../signals.ts";
import { type LogFile, startLog } from "../start_log.ts";

interface RunOptions extends CommonOptions, LogFile {
  port?: number;
  host?: string;
  moved?: true;
}

const movedOption = () =>
  new Option("--moved", "the rules were in another folder before: their runs and all other state continue here");

/** `run`: watches the folder, serves, and executes runs until it gets a stop signal. */
export function addRun(program: Command, session: Session, { isDefault }: { isDefault: boolean }): void {
  const [logFile, logFileSize] = logFileOptions();
  program.command("run", { isDefault }).description("watch the folder, serve and run, until stopped")
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(sameFolderOption()).addOption(dataOption()).addOption(movedOption())
    .addOption(envOption()).addOption(setOption()).addOption(logOption())
    .addOption(logFile).addOption(logFileSize)
    .addOption(
      new Option("--port <port>", "0 chooses a free one (default: 8080)").env("PORT").argParser(wholeNumber("a port")),
    )
    .option(
      "--host <address>",
      "the address to listen on; anything but loopback needs WHENTHEN_TOKEN (default: 127.0.0.1)",
    )
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      const folders = await foldersToLoad(folder, options);
      await startLog(options.log, "info", options);
      // Before anything is opened: a signal without a listener does not end process 1 of a container.
      using signal = new StopSignal();
      if (signal.isReceived) return;
      const { port, host, set, moved } = options;
      const kept = folders.database === undefined ? undefined : new KeptServer();
      const given = {
        ...folders,
        port,
        host,
        env: options.env,
        set,
        moved,
        token: env.WHENTHEN_TOKEN,
        ...kept && { kept },
      };
      const greet = (app: App) => options.log === "pretty" ? welcome(app, folders, session) : undefined;
      let isLost: boolean;
      try {
        const app = await openProgram(given, session.ports).catch((error) => {
          // A replica that was slow to open counted as dead.
          if (!kept || !(error instanceof FolderLostError)) throw error;
          logLine("warn", `${error.message}: it begins anew as another replica`, {});
        });
        isLost = app === undefined || await runUntil(signal, app, greet);
        // Other replicas have gone on without this one, so it begins anew.
        while (isLost && folders.database !== undefined && !signal.isReceived) {
          const app = await openAgain(() => openProgram(given, session.ports), signal);
          if (app !== undefined) isLost = await runUntil(signal, app).catch(failed);
        }
      } finally {
        await kept?.close();
      }
      if (isLost && !signal.isReceived) session.exitCode = ExitCode.failed;
    });
}

/**
 * Runs the program until it gets a stop signal, or has lost its data.
 * @param onStarted called when it is ready
 * @returns whether it has lost its data
 */
async function runUntil(signal: StopSignal, app: App, onStarted: (app: App) => unknown = () => {}): Promise<boolean> {
  try {
    if (signal.isReceived) return false;
    const lost = app.lost.then(() => true);
    const ended = Promise.race([signal.received.then(() => false), lost]);
    const started = app.start().then(() => {
      endReluctance();
      return onStarted(app);
    }).catch(async (error) => {
      // It may fail because the data are lost, which is known a moment later.
      if (!app.isReplica || !await Promise.race([lost, sleep(KNOWN).then(() => false)])) throw error;
    });
    // A replica may have to wait for another one to decide.
    await (app.isReplica ? Promise.race([started, ended]) : started);
    return await ended;
  } finally {
    await app.stop();
  }
}

/** Milliseconds within which it is known that data are lost. */
const KNOWN = 2_000;
/** Milliseconds between two attempts to open a database again. */
const AGAIN = 1_000;

/** A replica that could not begin anew tries it again. */
function failed(error: unknown): true {
  if (error instanceof UsageError) throw error;
  logLine("error", `Cannot begin anew: ${messageOf(error)}`, {});
  return true;
}

/** Opens the program when its database can be reached again. @returns undefined if it gets a stop signal before */
async function openAgain(open: () => Promise<App>, signal: StopSignal): Promise<App | undefined> {
  for (let isTold = false; !signal.isReceived; isTold = true) {
    try {
      return await open();
    } catch (error) {
      if (!isTold) logLine("warn", `Cannot begin anew yet: ${messageOf(error)}`, {});
      await Promise.race([signal.received, sleep(AGAIN)]);
    }
  }
}

/** Prints the program's address and what to try next. */
async function welcome(app: App, { folder, data, database, prebuilt }: Folders, { terminal }: Session): Promise<void> {
  const { url, token } = await readAddress(app.data) ?? {};
  if (url === undefined) return;
  const headers = { authorization: `Bearer ${token}` };
  const response = await app.web.fetch(new Request(`${url}/api/rules`, { headers }));
  const shown = prebuilt ? undefined : relative("", folder) || ".";
  const elsewhere = database ? nameOf(database) : data === resolve(DATA) ? undefined : relative("", data);
  const asksForToken = Boolean(env.WHENTHEN_TOKEN);
  const rules = await response.json();
  printWelcome(terminal, { url, folder: shown, data: elsewhere, rules, asksForToken });
}

/** A database in a command line, without its password. */
function nameOf(url: string): string {
  return url === env.DATABASE_URL ? '"$DATABASE_URL"' : shownUrl(url);
}

/** `once`: one pass over everything, for CI jobs. */
export function addOnce(program: Command, session: Session): void {
  const [logFile, logFileSize] = logFileOptions();
  addCommand(
    program,
    "once",
    "poll each poller once, fire the crons that are due, finish or suspend all runs",
    sameFolderOption(),
  )
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(movedOption()).addOption(setOption())
    .addOption(logFile).addOption(logFileSize)
    .option("--require-state", "exit 3 if the data folder is new, instead of starting afresh")
    .addHelpText(
      "after",
      "\nExits with 0; 1 if a run or a poll failed; 2 if a rule does not load; 3 see --require-state",
    )
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & LogFile & { requireState?: true; moved?: true }>();
      const folders = await foldersToLoad(folder, options);
      await startLog(options.log, "info", options);
      const token = env.WHENTHEN_TOKEN;
      const { set, moved } = options;
      const app = await openProgram({ ...folders, env: options.env, set, moved, token }, session.ports);
      using signal = new StopSignal();
      try {
        if (options.requireState && await app.isNew()) {
          session.terminal.write(
            `The ${
              folders.database ? "database" : `data folder ${folders.data}`
            } is new: there is no state of earlier passes\n`,
          );
          session.exitCode = ExitCode.newStore;
          return;
        }
        const pass = app.once((phase) => progress.show(phase)).finally(() => progress.end());
        const report = await Promise.race([pass, signal.received]);
        if (report === undefined) return;
        print(session, options, report, printOnce);
        session.exitCode = exitCodeOf(report);
      } finally {
        await app.stop();
      }
    });
}

/** A rule that does not load outweighs a failed run: it could not run at all. */
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

/** What a program prints about itself after its start. */
interface Welcome {
  url: string;
  /** The rules folder; absent if it is packed into the program, where nobody can change it. */
  folder?: string;
  /** The data folder; absent if commands find it by default. */
  data?: string;
  rules: RuleListing[];
  /** Whether a token is set. Then a browser, which sends none, gets only hooks and forms. */
  asksForToken: boolean;
}

/** Prints what to try next. */
function printWelcome(terminal: Terminal, { url, folder, data, rules, asksForToken }: Welcome): void {
  const live = rules.filter(({ state }) => state !== "broken");
  const open = live.flatMap(({ triggers }) => triggers).find(({ hook }) =>
    hook?.open && hook.method.split(", ").includes("POST")
  )?.hook;
  const whenthen = commandName();
  const on = data === undefined ? "" : ` --data ${data}`;
  const tries: [what: string, why: string][] = [];
  if (!asksForToken) tries.push([`${url}/`, "the rules and the last runs on a page"]);
  else tries.push([`curl -H "Authorization: Bearer $WHENTHEN_TOKEN" ${url}/api/rules`, "the rules, as JSON"]);
  if (open) tries.push([`curl -d '{"name":"Ada"}' ${url}${open.path}`, "send something to a webhook"]);
  tries.push([`${whenthen} events${on}`, "what arrived, and what each rule made of it (in another terminal)"]);
  tries.push([`${whenthen} runs${on}`, "what ran; show RUN has every step of it"]);
  if (folder !== undefined) tries.push([`save a file in ${folder}`, "it is live within a second"]);
  const width = Math.max(...tries.map(([what]) => what.length));
  terminal.write(`\n${count(live.length, "rule")} of ${folder ?? "the packed folder"} at ${url}. Try next:\n`);
  for (const [what, why] of tries) {
    terminal.write(`  ${paint(terminal, "bold", what.padEnd(width))}  ${paint(terminal, "dim", why)}\n`);
  }
  terminal.write("\n");
}

/** How this program is called: from an npm package, as an npm script, as a Deno task, or by its name. */
export function commandName(): string {
  if (embedded && execPath.includes("/node_modules/")) return "npx whenthen";
  if (embedded) return basename(execPath);
  if (!argv[1]?.endsWith(".ts")) return "whenthen";
  return env.npm_lifecycle_event === undefined ? "deno task whenthen" : "npm run -s whenthen --";
}
