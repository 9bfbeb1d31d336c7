import type { Command } from "commander";
import { readAddress } from "../../../runtime/host/private_file.ts";
import { networkReason } from "../../../runtime/model/errors.ts";
import { DATA, placeOf } from "../folders.ts";
import { paint } from "../print/terminal.ts";
import { type CommonOptions, dataOption, ExitCode, jsonOption, print, type Session } from "../session.ts";

/** Milliseconds for the answer of the program. Docker and systemd wait 30 s for a check. */
const TIMEOUT = 5_000;

/** The answer of `health`. */
interface Health {
  /** Whether the program accepts events. */
  ready: boolean;
  /** What it said, or why it said nothing. */
  state: string;
  /** Where it listens; absent if no program has listened there. */
  url?: string;
}

/** `health`: asks the running program whether it accepts events. It never opens the data folder itself. */
export function addHealth(program: Command, session: Session): void {
  program.command("health").description(
    "ask the running program whether it accepts events, for checks of Docker or systemd",
  )
    .addOption(dataOption()).addOption(jsonOption())
    .addHelpText("after", "\nExits with 0 if it does, else with 1")
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      const health = await askHealth(placeOf(options.data ?? DATA).data);
      if (!health.ready) session.exitCode = ExitCode.failed;
      print(session, options, health, (terminal, { ready, state }) => {
        terminal.write(paint(terminal, ready ? "green" : "red", state) + "\n");
      });
    });
}

async function askHealth(data: string): Promise<Health> {
  const url = (await readAddress(data))?.url;
  // After `once` there is an address without a URL.
  if (url === undefined) return { ready: false, state: `No program runs on the data folder ${data}` };
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(TIMEOUT) });
    const said = (await response.text()).trim();
    return { ready: response.ok, state: response.ok ? "ready" : `not ready: ${said}`, url };
  } catch (error) {
    return { ready: false, state: `No answer from ${url}: ${networkReason(error)}`, url };
  }
}
