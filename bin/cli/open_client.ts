import { openApp } from "../../runtime/app/app.ts";
import type { Ports } from "../../runtime/app/wire.ts";
import { readAddress } from "../../runtime/host/private_file.ts";
import type { Folders } from "./folders.ts";
import { maskLog } from "./start_log.ts";
import { VERSION } from "./version.ts";
import { readExactJson, writeExactJson } from "../../runtime/formats/exact_json.ts";

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
export async function openClient(folders: Folders, env: string | undefined, ports: Ports): Promise<Client> {
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
