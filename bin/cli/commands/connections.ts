import type { Command } from "commander";
import { stderr, stdin } from "node:process";
import { createInterface } from "node:readline/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { AttemptState, Begun } from "../../../runtime/connections/attempts.ts";
import type { ConnectionListing } from "../../../runtime/connections/connection.ts";
import type { Disconnected } from "../../../runtime/connections/connections.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { BegunAnswer } from "../../../runtime/web/connections_api.ts";
import { type Client, RefusedError } from "../open_client.ts";
import { printConnections } from "../print/connections.ts";
import { addCommand, ask, type CommonOptions, print, type Session } from "../session.ts";
import { operatorName } from "./operations.ts";

interface ConnectOptions extends CommonOptions {
  device?: true;
  paste?: true;
}

/** Milliseconds between two looks whether somebody has allowed it. */
const LOOK = 500;

/** `connections`, `connect` and `disconnect`: accounts at other services. */
export function addConnections(program: Command, session: Session): void {
  addCommand(program, "connections", "the accounts at other services: state, scopes, expiry, who connected each")
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        print(session, options, await client.get<ConnectionListing[]>("/api/connections"), printConnections);
      });
    });

  addCommand(program, "connect", "connect an account at another service: somebody allows it in a browser")
    .argument("<connection>", "its name under connections: in whenthen.yaml")
    .option("--device", "show a code to type in at another device")
    .option("--paste", "ask for the code, or for the address of the last page, instead of waiting for the browser")
    .action((name: string, _options, command: Command) => {
      const options = command.optsWithGlobals<ConnectOptions>();
      return ask(session, options, async (client) => {
        await connect(client, name, options, session);
        print(
          session,
          options,
          { connection: name, state: "connected" },
          ({ write }) => write(`${name} is connected\n`),
        );
      });
    });

  addCommand(program, "disconnect", "forget the tokens of a connection, and revoke them where its server offers that")
    .argument("<connection>", "its name")
    .action((name: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        const done = await client.post<Disconnected>(`${pathOf(name)}/disconnect`, { by: operatorName() });
        print(session, options, done, ({ write }) => {
          write(
            `${name} is disconnected; its tokens are ${done.revoked ? "revoked" : `not revoked: ${done.reason}`}\n`,
          );
        });
      });
    });
}

/** @throws RefusedError if it is not connected in the end */
async function connect(client: Client, name: string, options: ConnectOptions, session: Session): Promise<void> {
  const way = options.device ? "device" : undefined;
  if (!options.device && !options.paste) listen(client, name);
  const begun = await client.post<BegunAnswer>(`${pathOf(name)}/connect`, { by: operatorName(), way });
  if (begun.kind === "connected") return;
  const tell = (text: string) => void (options.json ? stderr : session.terminal).write(text);
  tell(stepsOf(name, begun));
  if (begun.kind === "code" && (begun.outOfBand || options.paste)) {
    tell("Paste the code, or the address of the last page: ");
    const code = await readLine();
    await client.post(`${pathOf(name)}/code`, { attempt: begun.attempt, code });
    return;
  }
  for (;;) {
    const { state, error } = await client.get<AttemptState>(`/api/connections/attempts/${begun.attempt}`);
    if (state === "connected") return;
    if (state === "failed") throw new RefusedError(`${name} is not connected: ${error}`);
    await sleep(LOOK);
  }
}

/** If no program runs that the browser could come back to, this command is there itself. */
function listen(client: Client, name: string): void {
  try {
    client.listen();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}; or connect with: whenthen connect ${name} --paste`);
  }
}

function stepsOf(name: string, begun: Begun): string {
  const minutes = Math.round((begun.until - Date.now()) / 60_000);
  if (begun.kind === "code") {
    return `Open this address within ${minutes} minutes and allow ${name}:\n\n${begun.url}\n\n`;
  }
  const { uri, complete, userCode } = begun;
  const whole = complete === undefined ? "" : `, or open ${complete}`;
  return `Open ${uri} within ${minutes} minutes and enter the code ${userCode}${whole}\n`;
}

async function readLine(): Promise<string> {
  const lines = createInterface({ input: stdin });
  try {
    for await (const line of lines) if (line.trim() !== "") return line.trim();
  } finally {
    lines.close();
  }
  throw new UsageError("Cannot connect: standard input ended before a code came");
}

function pathOf(name: string): string {
  return `/api/connections/${encodeURIComponent(name)}`;
}
