import { type Command, Option } from "commander";
import { basename, relative, resolve } from "node:path";
import { argv, env, execPath } from "node:process";
import { type App, type OnceReport, openApp } from "../../../runtime/app/app.ts";
import { embedded } from "../../../runtime/host/embedded.ts";
import { readAddress } from "../../../runtime/host/private_file.ts";
import type { RuleListing } from "../../../runtime/web/rules_api.ts";
import { DATA, type Folders, foldersToLoad } from "../folders.ts";
import { oneLine, paint, type Terminal } from "../print/terminal.ts";
import {
  addCommand,
  type CommonOptions,
  dataOption,
  envOption,
  ExitCode,
  logOption,
  print,
  type Session,
  setOption,
  VERSION,
  wholeNumber,
} from "../session.ts";
import { StopSignal } from "../signals.ts";
import { maskLog, startLog } from "../start_log.ts";

interface RunOptions extends CommonOptions {
  port?: number;
  host?: string;
}

/** `run`: watches the folder, serves, and executes runs until it gets a stop signal. */
export function addRun(program: Command, session: Session, { isDefault }: { isDefault: boolean }): void {
  program.command("run", { isDefault }).description("watch the folder, serve and run, until stopped")
    .argument("[folder]", "the rules folder (default: rules)")
    .addOption(dataOption()).addOption(envOption()).addOption(setOption()).addOption(logOption())
    .addOption(
      new Option("--port <port>", "0 chooses a free one (default: 8080)").env("PORT").argParser(wholeNumber("a port")),
    )
    .option(
      "--host <address>",
      "the address to listen on; anything but loopback needs WHENTHEN_TOKEN (default: 127.0.0.1)",
    )
    .action(async (folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      const folders = await foldersToLoad(folder, options.data);
      await startLog(options.log, "info");
      // Before anything is opened: a signal without a listener does not end process 1 of a container.
      using signal = new StopSignal();
      if (signal.isReceived) return;
      const { port, host } = options;
      const app = await openApp({
        ...folders,
        port,
        host,
        env: options.env,
        set: options.set,
        token: env.WHENTHEN_TOKEN,
        version: VERSION,
      }, session.ports);
      maskLog((text) => app.mask(text));
      try {
        if (!signal.isReceived) {
          await app.start();
          if (options.log === "pretty") await welcome(app, folders, session);
          const lost = app.lost.then(() => session.exitCode = ExitCode.failed);
          await Promise.race([signal.received, lost]);
        }
      } finally {
        await app.stop();
      }
    });
}

/** Prints the program's address and what to try next. */
async function welcome(app: App, { folder, data, prebuilt }: Folders, { terminal }: Session): Promise<void> {
  const address = await readAddress(data);
  if (address === undefined) return;
  const headers = { authorization: `Bearer ${address.token}` };
  const response = await app.web.fetch(new Request(`${address.url}/api/rules`, { headers }));
  const shown = prebuilt ? undefined : relative("", folder) || ".";
  const elsewhere = data === resolve(DATA) ? undefined : relative("", data);
  const asksForToken = Boolean(env.WHENTHEN_TOKEN);
  const rules = await response.json();
  printWelcome(terminal, { url: address.url, folder: shown, data: elsewhere, rules, asksForToken });
}

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

/** What a program that has just started prints about itself. */
export interface Welcome {
  url: string;
  /** Absent if it is packed into the program: then it cannot be changed. */
  folder?: string;
  /** Absent if commands find it by default. */
  data?: string;
  rules: RuleListing[];
  /** Without a token only hooks and forms are open: a browser, which has none, does not get the page. */
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
  const tries: [what: string, why: string][] = [
    asksForToken
      ? [`curl -H "Authorization: Bearer $WHENTHEN_TOKEN" ${url}/api/rules`, "the rules, as JSON"]
      : [`${url}/`, "the rules and the last runs on a page"],
    ...open ? [[`curl -d '{"name":"Ada"}' ${url}${open.path}`, "send something to a webhook"] as [string, string]] : [],
    [`${whenthen} events${on}`, "what arrived, and what each rule made of it (in another terminal)"],
    [`${whenthen} runs${on}`, "what ran; show RUN has every step of it"],
    ...folder === undefined ? [] : [[`save a file in ${folder}`, "it is live within a second"] as [string, string]],
  ];
  const width = Math.max(...tries.map(([what]) => what.length));
  terminal.write(
    `\n${live.length} ${live.length === 1 ? "rule" : "rules"} of ${
      folder ?? "the packed folder"
    } at ${url}. Try next:\n`,
  );
  for (const [what, why] of tries) {
    terminal.write(`  ${paint(terminal, "bold", what.padEnd(width))}  ${paint(terminal, "dim", why)}\n`);
  }
  terminal.write("\n");
}

/** How the reader calls the program: as an npm script, as a Deno task, or by its name. */
function commandName(): string {
  if (embedded) return basename(execPath);
  if (!argv[1]?.endsWith(".ts")) return "whenthen";
  return env.npm_lifecycle_event === undefined ? "deno task whenthen" : "npm run -s whenthen --";
}
