import { Command, InvalidArgumentError, Option } from "commander";
import { versions } from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { openApp } from "../../runtime/app/app.ts";
import type { Ports } from "../../runtime/app/wire.ts";
import { readSet } from "../../runtime/folder/settings/config_layers.ts";
import { readExactJson, writeExactJson } from "../../runtime/formats/exact_json.ts";
import { embedded } from "../../runtime/host/embedded.ts";
import { readAddress } from "../../runtime/host/private_file.ts";
import type { UpperValue } from "../../runtime/model/config.ts";
import { type Folders, foldersInUse } from "./folders.ts";
import type { Terminal } from "./print/terminal.ts";
import { maskLog, startLog } from "./start_log.ts";

/** Options that may be given before or after the command. */
export interface CommonOptions {
  data?: string;
  env?: string;
  log: "pretty" | "json";
  json?: true;
  /** Of commands that load rules for work. */
  set?: UpperValue[];
}

export const dataOption = () =>
  new Option(
    "--data <dir>",
    "where all state lives (default: .whenthen beside the rules; the current folder if they are packed into the program)",
  );

export const envOption = () => new Option("--env <name>", "also reads config.<name>.yaml").env("WHENTHEN_ENV");

/** `--set rule.key=value`, any number of times. */
export const setOption = () =>
  new Option("--set <rule.key=value>", "a config value, above all others; may be repeated").argParser(
    (text: string, before: UpperValue[] = []) => {
      const value = readSet(text);
      if (value !== undefined) return [...before, value];
      throw new InvalidArgumentError("expected a rule, a key and a value, such as ops/disk.threshold=90");
    },
  );

export const jsonOption = () => new Option("--json", "print JSON");

export const logOption = () =>
  new Option("--log <format>", "the format of log lines").choices(["pretty", "json"]).default("pretty");

export const limitOption = () =>
  new Option("--limit <count>", "the maximum number of entries").argParser(wholeNumber("a count")).default(20);

/** Parses a whole number. */
export function wholeNumber(what: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw new InvalidArgumentError(`expected ${what}, got "${text}"`);
  };
}

/** One call of the program: where it prints, and with what it will exit. */
export class Session {
  exitCode: ExitCode = ExitCode.ok;

  constructor(readonly terminal: Terminal, readonly ports: Ports) {}
}

/** A new command with the options that all commands share. */
export function addCommand(program: Command, name: string, description: string): Command {
  return program.command(name).description(description)
    .addOption(dataOption()).addOption(envOption()).addOption(logOption()).addOption(jsonOption());
}

/** Asks the program that runs on the data folder, or one opened for the purpose, and closes what was opened. */
export async function ask(
  session: Session,
  options: CommonOptions,
  question: (client: Client) => Promise<void>,
): Promise<void> {
  const folders = await foldersInUse(options.data);
  await startLog(options.log, "warning");
  const client = await openClient(folders, options.env, session.ports);
  try {
    await question(client);
  } finally {
    await client.close();
  }
}

/** Prints for people, or as JSON if requested. */
export function print<T>(
  session: Session,
  options: Pick<CommonOptions, "json">,
  value: T,
  forPeople: (terminal: Terminal, value: T) => void,
): void {
  if (options.json) session.terminal.write(writeExactJson(value, 2) + "\n");
  else forPeople(session.terminal, value);
}

/** Asks the program: the one that is running, or one opened for the purpose. The questions are the same. */
export interface Client {
  /** False if nothing is running: started runs wait in the store. */
  live: boolean;
  get<T>(path: string, query?: Record<string, string | undefined>): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  /** If nothing is running, waits itself for the browser that an authorization server sends back. @throws UsageError */
  listen(): void;
  close(): Promise<void>;
}

/** The program answered that it cannot do what it was asked. */
export class RefusedError extends Error {
  override name = "RefusedError";
}

/**
 * A client of the program that is running on the data folder; if none is, its lock is taken and the same HTTP side
 * is asked in this process.
 * @throws UsageError if another program holds the lock but does not answer
 */
async function openClient(folders: Folders, env: string | undefined, ports: Ports): Promise<Client> {
  const address = await readAddress(folders.data);
  if (address !== undefined) {
    const send = (path: string, init?: RequestInit) => {
      const headers = { authorization: `Bearer ${address.token}`, "content-type": "application/json" };
      return fetch(address.url + path, { ...init, headers });
    };
    if (await isRunning(send)) return { live: true, ...clientOf(send), listen() {}, close: () => Promise.resolve() };
  }
  const app = await openApp({ ...folders, env, host: "127.0.0.1", version: VERSION }, ports);
  maskLog((text) => app.mask(text));
  try {
    await app.serveCommand();
  } catch (error) {
    await app.stop();
    throw error;
  }
  const send = (path: string, init?: RequestInit) => {
    const headers = { "content-type": "application/json" };
    return app.web.fetch(new Request(`http://127.0.0.1${path}`, { ...init, headers }));
  };
  return { live: false, ...clientOf(send), listen: () => app.serveCallback(), close: () => app.stop() };
}

type Send = (path: string, init?: RequestInit) => Promise<Response>;

/** The address may be that of a program that has ended; its port may be somebody else's by now. */
async function isRunning(send: Send): Promise<boolean> {
  try {
    const response = await send("/api/problems", { signal: AbortSignal.timeout(5_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

function clientOf(send: Send): Pick<Client, "get" | "post"> {
  return {
    async get<T>(path: string, query: Record<string, string | undefined> = {}) {
      const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
      return await answerOf<T>(await send(`${path}?${new URLSearchParams(given)}`));
    },
    async post<T>(path: string, body: unknown = {}) {
      return await answerOf<T>(await send(path, { method: "POST", body: writeExactJson(body) }));
    },
  };
}

async function answerOf<T>(response: Response): Promise<T> {
  const answer = readExactJson(await response.text());
  if (!response.ok) throw new RefusedError((answer as { error: string }).error);
  return answer as T;
}

/** What the program's exit codes mean; `docs/operating.md` lists them. */
export const ExitCode = {
  ok: 0,
  /** The command failed: a run or a poll failed, or the given run does not exist. */
  failed: 1,
  /** A rule does not load. */
  broken: 2,
  /** `once --require-state` found a new store. */
  newStore: 3,
  /** The command line is invalid (EX_USAGE of sysexits.h). */
  usage: 64,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** The program's version. */
export const VERSION = manifest.version;

/** Identifies this program: version, commit and target of the binary. */
export function describeVersion(): string {
  const origin = embedded ? `commit ${embedded.commit}, ${embedded.target}` : `from source, Deno ${versions.deno}`;
  return `${VERSION} (${origin})`;
}
