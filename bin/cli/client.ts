import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { versions } from "node:process";
import manifest from "../../package.json" with { type: "json" };
import type { App } from "../../runtime/app/app.ts";
import { openApp } from "../../runtime/app/open_app.ts";
import type { AppOptions } from "../../runtime/app/app_options.ts";
import type { Ports } from "../../runtime/app/wire.ts";
import { readExactJson, writeExactJson } from "../../runtime/formats/exact_json.ts";
import { embedded } from "../../runtime/host/embedded.ts";
import { readAddress } from "../../runtime/host/private_file.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import type { Run } from "../../runtime/model/run.ts";
import { isObject } from "../../runtime/model/json.ts";
import type { Folders } from "./folders.ts";
import { prepareWidths } from "./print/terminal.ts";
import { maskLog } from "./start_log.ts";

/** Sends requests to the running program, or to one that is opened in this process. Both answer the same. */
export interface Client {
  /** False if no program is running: started runs wait in the store. */
  live: boolean;
  get<T>(path: string, query?: Record<string, string | undefined>): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  /** If no program is running, serves the page to which an authorization server sends the browser back. @throws UsageError */
  listen(): void;
  close(): Promise<void>;
}

/** The program refused a request; the message is that of its answer. */
export class RefusedError extends Error {
  override name = "RefusedError";

  /** @param answer all that it answered, such as `problems` by name */
  constructor(message: string, readonly answer: Record<string, unknown> = {}) {
    super(message);
  }
}

/** A client of the program that is running on the data folder; undefined if none is. */
export async function clientOfRunning(data: string): Promise<Client | undefined> {
  const { url, token } = await readAddress(data) ?? {};
  if (url === undefined) return undefined;
  const send = (path: string, init?: RequestInit) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    return fetch(url + path, { ...init, headers });
  };
  if (!await isRunning(send)) return undefined;
  return { live: true, ...clientOf(send), listen() {}, close: () => Promise.resolve() };
}

/** What the answers to a command come from: the rules, or only what is in the store. */
export type Needs = "rules" | "store";

/**
 * A client of the program that is running on the data folder. If none is, takes the folder's lock and answers the requests in
 * this process.
 * @throws UsageError if another program holds the lock but does not answer
 */
export async function openClient(folders: Folders & { env?: string }, ports: Ports, needs: Needs): Promise<Client> {
  const running = await clientOfRunning(folders.data);
  if (running !== undefined) return running;
  const app = await openProgram({ ...folders, host: "127.0.0.1" }, ports);
  try {
    await checkRulesExist(folders);
    await app.serveCommand({ onlyStore: needs === "store" });
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

/** The folder that the data folder was last used with may be gone. Without it, secrets are not known and cannot be masked. */
async function checkRulesExist({ folder, data, database }: Folders): Promise<void> {
  const facts = await stat(folder).catch(() => undefined);
  if (facts?.isDirectory()) return;
  if (database !== undefined) {
    throw new UsageError(
      "Cannot tell which rules the database belongs to, as nothing on this machine says so: name their folder with --folder",
    );
  }
  throw new UsageError(
    `Cannot find the rules folder ${folder}, which the data folder ${data} was last used with; name where it is now with --folder`,
  );
}

/** Opens the program in this process, and masks its secrets in the log. */
export async function openProgram(options: Omit<AppOptions, "version">, ports: Ports): Promise<App> {
  const app = await openApp({ ...options, version: manifest.version }, ports);
  maskLog((text) => app.mask(text));
  return app;
}

type Send = (path: string, init?: RequestInit) => Promise<Response>;

/** The address may be that of a program that has ended, and another program may use its port by now. */
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
  const text = await response.text();
  const answer = readExactJson(text);
  if (!response.ok) {
    const refusal = isObject(answer) ? answer : {};
    throw new RefusedError(String(refusal.error ?? `status ${response.status}`), refusal);
  }
  await prepareWidths(text);
  return answer as T;
}

/** The id of a rule, a fleet or a command in the path of a request. An id is a path itself: its slashes stay. */
export function pathOf(id: string): string {
  return id.split("/").map(encodeURIComponent).join("/");
}

/** Characters of the id of a run. */
const RUN_ID = 20;
/** How many of the runs that an ambiguous id may mean are named. */
const CANDIDATES = 5;

/**
 * The id of the run that somebody means: an id, or the beginning of one.
 * @throws RefusedError if no run has an id that begins so, or several have
 */
export function runOf({ get }: Pick<Client, "get">, text: string): Promise<string> {
  return idOfRun(text, ({ before, limit }) => get<Run[]>("/api/runs", { before, limit: String(limit) }));
}

/** The same. @param list lists runs, newest first */
export async function idOfRun(
  text: string,
  list: (page: { before: string; limit: number }) => Promise<Run[]>,
): Promise<string> {
  if (text.length >= RUN_ID || !/^[0-9a-z]+$/.test(text)) return text;
  // Ids consist of digits and small letters, which all come before the tilde.
  const page = { before: `${text}~`, limit: CANDIDATES + 1 };
  const runs = (await list(page)).filter(({ id }) => id.startsWith(text));
  if (runs.length === 1) return runs[0].id;
  if (runs.length === 0) throw new RefusedError(`There is no run "${text}"`);
  const named = runs.slice(0, CANDIDATES).map(({ id, rule, state }) => `  ${id}  ${rule}  ${state}`);
  const more = runs.length > CANDIDATES ? ["  … and others"] : [];
  throw new RefusedError([`Several runs have an id that begins with "${text}":`, ...named, ...more].join("\n"));
}

/** The user of the command line, for the notes of runs; undefined if the system knows no name. */
export function operatorName(): string | undefined {
  try {
    const { username, uid } = userInfo();
    // Bun, inside the binary, only reads $USER, which services and containers need not set.
    return username === "unknown" ? accountName(uid) : username;
  } catch {
    // In a container the user may be a number without a name.
    return undefined;
  }
}

function accountName(uid: number): string | undefined {
  const accounts = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"));
  return accounts.find(([, , id]) => id === String(uid))?.[0];
}

/** Identifies this program: version, commit and target of the binary. */
export function describeVersion(): string {
  const origin = embedded ? `commit ${embedded.commit}, ${embedded.target}` : `from source, Deno ${versions.deno}`;
  return `${manifest.version} (${origin})`;
}
