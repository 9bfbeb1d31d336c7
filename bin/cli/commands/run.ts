import type { Command } from "commander";
import { Option } from "commander";
import { relative, resolve } from "node:path";
import { env } from "node:process";
import { type App, openApp } from "../../../runtime/app/app.ts";
import { readAddress } from "../../../runtime/host/private_file.ts";
import { ExitCode } from "../exit_codes.ts";
import { DATA, type Folders, foldersToLoad } from "../folders.ts";
import { maskLog, startLog } from "../start_log.ts";
import {
  type CommonOptions,
  dataOption,
  envOption,
  logOption,
  type Session,
  setOption,
  wholeNumber,
} from "../session.ts";
import { printWelcome } from "../print/welcome.ts";
import { VERSION } from "../version.ts";
import { StopSignal } from "../signals.ts";

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
