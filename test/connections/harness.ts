import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Begun } from "../../runtime/connections/attempts.ts";
import type { Connection, OAuthConnection } from "../../runtime/connections/connection.ts";
import { Connections } from "../../runtime/connections/connections.ts";
import { type SharedFiles, type StoredAttempt, Vault } from "../../runtime/connections/vault.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { type Disk, realDisk } from "../../runtime/host/disk.ts";
import { Secrets } from "../../runtime/secrets/secrets.ts";
import { until } from "../e2e/until.ts";
import { type AuthorizationServer, CLIENT, openAuthorizationServer } from "./provider.ts";

/** Where the server sends a browser back; nothing listens there, as the tests take the address themselves. */
export const ADDRESS = "http://127.0.0.1:9";
export const CALLBACK = `${ADDRESS}/connections/callback`;

/** Connections on a data folder, and a real authorization server. */
export interface ConnectionsBench extends AsyncDisposable {
  server: AuthorizationServer;
  connections: Connections;
  secrets: Secrets;
  clock: ManualClock;
  folder: string;
  /** The lost connections, with the reasons. */
  lost: Map<string, string>;
  lines: string[];
  environment: Record<string, string | undefined>;
  /** Opens the connections once more, as another replica does that shares the files of the data folder. */
  replica(shared: SharedFiles): Promise<Replica>;
  /** Opens everything again, as another start of the program does. Writes of the old one fail from now on. */
  restart(): Promise<void>;
  /** Connects `asana` as a person would. */
  connect(): Promise<void>;
  /** A token for the API, by `asana`. */
  token(refused?: string): Promise<string>;
  /** All bytes of the data folder. */
  onDisk(): Promise<string>;
}

/** The connections of one of several replicas. */
export interface Replica {
  connections: Connections;
  vault: Vault;
  attempts: Vault<StoredAttempt>;
  secrets: Secrets;
  /** A token for the API, by `asana`. */
  token(refused?: string): Promise<string>;
}

export function newKey(): string {
  return randomBytes(32).toString("base64");
}

/** The connection `asana`, changed. */
export function asana(server: AuthorizationServer, changes: Partial<OAuthConnection> = {}): OAuthConnection {
  return {
    name: "asana",
    at: { line: 2, column: 3 },
    kind: "oauth",
    oauth: { issuer: server.issuer, parameters: {} },
    client: "ASANA_ID",
    secret: "ASANA_SECRET",
    scopes: ["tasks"],
    grant: "authorization_code",
    hosts: [server.apiHost],
    ...changes,
  };
}

/** @param settings the connections. @default `asana` by the authorization code */
export async function openConnections(
  settings: (server: AuthorizationServer) => Connection[] = (server) => [asana(server)],
  disk: (real: Disk) => Disk = (real) => real,
): Promise<ConnectionsBench> {
  const server = await openAuthorizationServer([CALLBACK]);
  const folder = await mkdtemp(join(tmpdir(), "whenthen-connections-"));
  const clock = new ManualClock(Date.now());
  const environment: Record<string, string | undefined> = {
    WHENTHEN_KEY: newKey(),
    ASANA_ID: CLIENT.id,
    ASANA_SECRET: CLIENT.secret,
  };
  const lost = new Map<string, string>();
  const lines: string[] = [];
  let dead = { is: false };
  const openOn = async (disk: Disk, shared?: SharedFiles): Promise<Replica> => {
    const secrets = new Secrets({ environment, files: [], folders: [] });
    const vault = await Vault.open(folder, disk, (message) => lines.push(message), "connections", shared);
    const attempts = await Vault.open<StoredAttempt>(folder, disk, (line) => lines.push(line), "attempts", shared);
    const connections = new Connections({
      clock,
      vault,
      attempts,
      secretOf: (name) => secrets.get(name),
      plainOf: (name) => secrets.peek(name),
      hide: (name, texts) => secrets.hide(name, texts),
      address: () => ADDRESS,
      onState(name, reason) {
        if (reason === undefined) lost.delete(name);
        else lost.set(name, reason);
      },
      log: (_level, message) => void lines.push(message),
    });
    await connections.set(settings(server));
    const token = (refused?: string) =>
      connections.token("asana", new URL(`${server.api}/tasks`), new AbortController().signal, refused);
    return { connections, vault, attempts, secrets, token };
  };
  const open = async () => {
    dead.is = true;
    const mine = dead = { is: false };
    const { connections, secrets } = await openOn(killed(disk(realDisk), mine));
    bench.connections = connections;
    bench.secrets = secrets;
  };
  const bench: ConnectionsBench = {
    server,
    connections: undefined!,
    secrets: undefined!,
    clock,
    folder,
    lost,
    lines,
    environment,
    restart: open,
    replica: (shared) => openOn(realDisk, shared),
    async connect() {
      const begun = await bench.connections.begin("asana", { by: "anna" }, undefined) as Extract<
        Begun,
        { kind: "code" }
      >;
      const answer = new URL(await server.allow(begun.url)).searchParams;
      await bench.connections.callback(answer, undefined);
    },
    token: (refused) =>
      bench.connections.token("asana", new URL(`${server.api}/tasks`), new AbortController().signal, refused),
    async onDisk() {
      const names = await readdir(folder);
      return (await Promise.all(names.map((name) => readFile(join(folder, name), "latin1")))).join("\n");
    },
    async [Symbol.asyncDispose]() {
      await bench.connections.stop();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await open();
  return bench;
}

/** The disk of a program that may be killed: from then on nothing of it gets there. */
function killed(disk: Disk, state: { is: boolean }): Disk {
  const alive = <A extends unknown[], R>(act: (...args: A) => Promise<R>) => (...args: A): Promise<R> =>
    state.is ? new Promise<R>(() => {}) : act(...args);
  return { ...disk, create: alive(disk.create), rename: alive(disk.rename), remove: alive(disk.remove) };
}

/** Moves the clock on, at most 200 steps, with time for the answers of the server; after them it waits for what is under way. */
export async function advanceUntil(
  clock: ManualClock,
  isDone: () => boolean | Promise<boolean>,
  step = 1_000,
): Promise<void> {
  let steps = 0;
  await until("what the time brings", async () => {
    if (!await isDone() && ++steps <= 200) await clock.advanceTo(clock.now() + step);
    return await isDone();
  }, (done) => done);
}

/** Runs work while requests to the token endpoint wait. @param work called when the first one waits; they go on when it is done */
export async function duringExchange<T>(
  { server }: ConnectionsBench,
  begin: () => Promise<T>,
  work: () => Promise<unknown>,
): Promise<T> {
  const real = globalThis.fetch;
  const waits = Promise.withResolvers<void>();
  const done = waits.promise.then(work);
  globalThis.fetch = async (input, init) => {
    if (String(input) === `${server.issuer}/token`) {
      waits.resolve();
      await done;
    }
    return await real(input, init);
  };
  try {
    return await begin();
  } finally {
    globalThis.fetch = real;
    await done;
  }
}
