import { execFile } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { rm } from "node:fs/promises";
import postgres from "postgres";
import { type OpenDatabase, openDatabase } from "../../runtime/database/open_database.ts";

const run = promisify(execFile);

/** Debian's package keeps each version's programs in a folder of its own. */
const PACKAGED = "/usr/lib/postgresql";

/** A PostgreSQL server of the tests, in a temporary folder; used with `await using`. */
export class DatabaseServer implements AsyncDisposable {
  #databases = 0;

  private constructor(private readonly folder: string, private readonly port: number) {}

  static async start(): Promise<DatabaseServer> {
    const folder = mkdtempSync(join(tmpdir(), "whenthen-postgres-"));
    // The server refuses to run as root.
    if (process.getuid!() === 0) chownSync(folder, ...await idsOf("postgres"));
    const server = new DatabaseServer(folder, await freePort());
    await asServer("initdb", "-D", join(folder, "data"), "-A", "trust", "-U", "whenthen", "--no-sync");
    await server.resume();
    return server;
  }

  /** Creates a database. @returns its URL */
  async create(): Promise<string> {
    const name = `test${++this.#databases}`;
    const sql = postgres(this.#url("postgres"), { max: 1, onnotice: () => {} });
    await sql.unsafe(`create database ${name}`);
    await sql.end();
    return this.#url(name);
  }

  /** Starts the server after a {@link crash}. */
  async resume(): Promise<void> {
    const options = `-p ${this.port} -k ${this.folder} -c listen_addresses=127.0.0.1 -c max_connections=100`;
    await asServer(
      "pg_ctl",
      "-D",
      join(this.folder, "data"),
      "-o",
      options,
      "-l",
      join(this.folder, "log"),
      "-w",
      "start",
    );
  }

  /** Ends the server as a crash does: nothing is written any more. */
  async crash(): Promise<void> {
    await asServer("pg_ctl", "-D", join(this.folder, "data"), "-m", "immediate", "-w", "stop");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash().catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }

  #url(name: string): string {
    return `postgres://whenthen@127.0.0.1:${this.port}/${name}`;
  }
}

/** A way to a database that can be cut off without a word, as a network does. */
export class Cuttable implements AsyncDisposable {
  isCut = false;
  readonly #sockets = new Set<Socket>();

  private constructor(readonly url: string, private readonly proxy: Server) {}

  static async to(url: string): Promise<Cuttable> {
    const { hostname, port } = new URL(url);
    const proxy = createServer();
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const through = new URL(url);
    through.port = String((proxy.address() as { port: number }).port);
    const cuttable = new Cuttable(through.href, proxy);
    proxy.on("connection", (client) => cuttable.#join(client, connect(Number(port), hostname)));
    return cuttable;
  }

  #join(client: Socket, upstream: Socket): void {
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      this.#sockets.add(from);
      from.on("data", (bytes) => this.isCut || to.write(bytes)).on("error", () => {}).on("close", () => to.destroy());
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.proxy.close(() => resolve()));
  }
}

/** Runs one of the server's programs, as its own user if this is root. */
async function asServer(program: string, ...args: string[]): Promise<void> {
  const [version] = readdirSync(PACKAGED).sort((a, b) => Number(b) - Number(a));
  const path = join(PACKAGED, version, "bin", program);
  // It must be able to enter the current folder.
  const options = { cwd: "/" };
  if (process.getuid!() === 0) await run("runuser", ["-u", "postgres", "--", path, ...args], options);
  else await run(path, args, options);
}

async function idsOf(user: string): Promise<[number, number]> {
  const idOf = async (flag: string) => Number((await run("id", [flag, user])).stdout);
  return [await idOf("-u"), await idOf("-g")];
}

/** A port of this machine on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** A replica of a database, whose folder is removed with it. */
export async function replica(url: string): Promise<OpenDatabase & AsyncDisposable> {
  const database = await openDatabase(url, { info: INFO });
  return Object.assign(database, {
    [Symbol.asyncDispose]: async () => {
      await database.close();
      await rm(database.path, { recursive: true, force: true });
    },
  });
}

/** A connection of the test. */
export async function connection(url: string): Promise<postgres.Sql & AsyncDisposable> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql`select 1`;
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) });
}

/** What replicas of the tests tell of themselves. */
export const INFO = { name: "host", pid: 1, version: "1.2.3", address: null };
