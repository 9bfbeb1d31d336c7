import type { Command } from "commander";
import { stderr, stdin } from "node:process";
import { createInterface } from "node:readline/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { AttemptState, Begun } from "../../../runtime/connections/attempts.ts";
import type { ConnectionListing, ConnectionState } from "../../../runtime/connections/connection.ts";
import type { Disconnected } from "../../../runtime/connections/connections.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import type { BegunAnswer, HandshakeHook } from "../../../runtime/web/connections_api.ts";
import { type Client, operatorName, RefusedError } from "../client.ts";
import { type Colour, printTable, relativeTime, type Terminal } from "../print/terminal.ts";
import { addCommand, ask, type CommonOptions, print, type Session, show } from "../session.ts";

interface ConnectOptions extends CommonOptions {
  device?: true;
  paste?: true;
}

/** Milliseconds between two requests for the state of an attempt. */
const POLL_INTERVAL = 500;

/** `connections`, `connect` and `disconnect`: accounts at other services. */
export function addConnections(program: Command, session: Session): void {
  addCommand(program, "connections", "the accounts at other services: state, scopes, expiry, who connected each")
    .action((_options, command: Command) => {
      return show(session, command.optsWithGlobals(), "/api/connections", printConnections);
    });

  addCommand(program, "connect", "connect an account at another service: somebody allows it in a browser")
    .argument("<connection>", "its name under connections: in whenthen.yaml")
    .option("--device", "show a code to type in at another device")
    .option("--paste", "ask for the code, or for the address of the last page, instead of waiting for the browser")
    .action((name: string, _options, command: Command) => {
      const options = command.optsWithGlobals<ConnectOptions>();
      return ask(session, options, async (client) => {
        await connect(client, name, options, session);
        const done = { connection: name, state: "connected" };
        print(session, options, done, ({ write }) => write(`${name} is connected\n`));
      });
    });

  addCommand(program, "disconnect", "forget the tokens of a connection, and revoke them where its server offers that")
    .argument("<connection>", "its name")
    .action((name: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        const done = await client.post<Disconnected>(`${addressOf(name)}/disconnect`, { by: operatorName() });
        print(session, options, done, ({ write }) => {
          const revoked = done.revoked ? "revoked" : `not revoked: ${done.reason}`;
          write(`${name} is disconnected; its tokens are ${revoked}\n`);
        });
      });
    });
}

/** Connects, and waits until that has succeeded. @throws RefusedError if it fails */
async function connect(client: Client, name: string, options: ConnectOptions, session: Session): Promise<void> {
  const way = options.device ? "device" : undefined;
  if (!options.device && !options.paste) listen(client, name);
  const begun = await client.post<BegunAnswer>(`${addressOf(name)}/connect`, { by: operatorName(), way });
  if (begun.kind === "connected") return;
  const tell = (text: string) => void (options.json ? stderr : session.terminal).write(text);
  tell(stepsOf(name, begun));
  if (begun.kind === "code" && (begun.outOfBand || options.paste)) {
    tell("Paste the code, or the address of the last page: ");
    const code = await readLine();
    await client.post(`${addressOf(name)}/code`, { attempt: begun.attempt, code });
    return;
  }
  for (;;) {
    const { state, error } = await client.get<AttemptState>(`/api/connections/attempts/${begun.attempt}`);
    if (state === "connected") return;
    if (state === "failed") throw new RefusedError(`${name} is not connected: ${error}`);
    await sleep(POLL_INTERVAL);
  }
}

/** Lets this command serve the page that the browser returns to, if no program is running. */
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

function addressOf(name: string): string {
  return `/api/connections/${encodeURIComponent(name)}`;
}

/** `hooks`, `hooks open` and `hooks remove`: webhooks whose provider gives the secret in a handshake. */
export function addHooks(program: Command, session: Session): void {
  const description = "webhooks with auth: asana and their secrets; hooks open RULE accepts new ones";
  const hooks = addCommand(program, "hooks", description)
    .action((_options, command: Command) => {
      return show(session, command.optsWithGlobals(), "/api/hooks", printHooks);
    });

  addCommand(hooks, "open", "accept the secrets that a provider gives in handshakes, for some time")
    .argument("<rule>", "id of a rule")
    .option("--for <duration>", "how long", "10m")
    .action((rule: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { for: string }>();
      return ask(session, options, async (client) => {
        const body = { rule, for: options.for, by: operatorName() };
        print(session, options, await client.post<HandshakeHook[]>("/api/hooks/open", body), printHooks);
      });
    });

  addCommand(hooks, "remove", "remove one secret, or all of a rule")
    .argument("<secret>", "its id, as hooks shows it, or the id of a rule")
    .action((what: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        const done = await client.post<{ removed: number }>("/api/hooks/remove", { what, by: operatorName() });
        print(session, options, done, ({ write }) => write(`${what} is removed\n`));
      });
    });
}

const COLOURS: Record<ConnectionState, Colour> = {
  connected: "green",
  unconnected: "yellow",
  lost: "red",
  locked: "red",
  unused: "dim",
};

/** Prints connections as a table, with the reason of each state other than `connected`. */
function printConnections(terminal: Terminal, connections: ConnectionListing[]): void {
  if (connections.length === 0) return terminal.write("No connections: whenthen.yaml has none under connections:\n");
  const rows = connections.map((connection) => [
    connection.name,
    { text: connection.state, colour: COLOURS[connection.state] },
    connection.kind,
    connection.scopes.join(" "),
    expiryOf(connection, terminal.now),
    connection.at === undefined ? "" : `by ${connection.by}, ${relativeTime(connection.at, terminal.now)}`,
    connection.reason ?? "",
  ]);
  printTable(terminal, ["CONNECTION", "STATE", "KIND", "SCOPES", "TOKEN", "CONNECTED", "WHY"], rows);
}

function expiryOf({ kind, state, expiresAt, renews }: ConnectionListing, now: number): string {
  if (kind === "bearer" || state !== "connected") return "";
  if (expiresAt === undefined) return renews ? "renewed when needed" : "does not expire";
  return `${relativeTime(expiresAt, now)}${renews ? ", then renewed" : ""}`;
}

/** Prints webhooks with the ids of their secrets, newest last. */
function printHooks(terminal: Terminal, hooks: HandshakeHook[]): void {
  if (hooks.length === 0) return terminal.write("No webhook has auth: asana\n");
  const rows = hooks.map(({ rule, path, openUntil, secrets }) => [
    rule,
    path ?? "gone",
    openUntil === undefined ? "closed" : `open, closes ${relativeTime(openUntil, terminal.now)}`,
    secrets.map(({ id, at, readable }) =>
      `${id} (${relativeTime(at, terminal.now)}${readable ? "" : ", sealed with another key"})`
    ).join(", "),
  ]);
  printTable(terminal, ["RULE", "WEBHOOK", "HANDSHAKES", "SECRETS"], rows);
}
