import { execFile, spawnSync } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
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

  /** @param place an existing folder for it, such as a small disk. @default a temporary one */
  static async start(place?: string): Promise<DatabaseServer> {
    const folder = mkdtempSync(join(place ?? tmpdir(), "whenthen-postgres-"));
    // The server refuses to run as root.
    if (process.getuid!() === 0) chownSync(folder, ...await idsOf("postgres"));
    const server = new DatabaseServer(folder, await freePort());
    const data = ["-D", join(folder, "data"), "-A", "trust", "-U", "whenthen"];
    await asServer(postgresProgram("initdb"), ...data, "--no-sync", "--wal-segsize=1");
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

  /** From now on it offers TLS, with a certificate that nobody has signed but itself. */
  async encrypt(): Promise<void> {
    const [key, certificate] = ["server.key", "server.crt"].map((name) => join(this.folder, "data", name));
    const made = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
    await asServer("openssl", "req", "-x509", ...made, "-keyout", key, "-out", certificate);
    const sql = postgres(this.#url("postgres"), { max: 1 });
    await sql.unsafe("alter system set ssl = on");
    await sql.unsafe("select pg_reload_conf()");
    await sql.end();
  }

  /** Starts the server after a {@link crash}. */
  async resume(): Promise<void> {
    // `initdb` lowers `max_wal_size` for small segments; this is the default of a server.
    const options =
      `-p ${this.port} -k ${this.folder} -c listen_addresses=127.0.0.1 -c max_connections=100 -c max_wal_size=1GB`;
    await this.#control("-o", options, "-l", join(this.folder, "log"), "-w", "start");
  }

  /** Ends the server as a crash does: nothing is written any more. */
  async crash(): Promise<void> {
    await this.#control("-m", "immediate", "-w", "stop");
  }

  /** Keeps the state of all databases, for {@link restore}; it is down meanwhile. */
  async save(): Promise<void> {
    await this.crash();
    await run("cp", ["-a", join(this.folder, "data"), join(this.folder, "saved")]);
    await this.resume();
  }

  /** Returns to the state that was saved, as if a backup were restored. */
  async restore(): Promise<void> {
    await this.crash();
    await run("rm", ["-r", join(this.folder, "data")]);
    await run("mv", [join(this.folder, "saved"), join(this.folder, "data")]);
    await this.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash().catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Ends it when all tests of the file have ended: nothing can be awaited then. */
  endWithTests(): void {
    globalThis.addEventListener("unload", () => {
      const [program, ...args] = asUser(postgresProgram("pg_ctl"));
      spawnSync(program, [...args, "-D", join(this.folder, "data"), "-m", "immediate", "-w", "stop"], { cwd: "/" });
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  #control(...args: string[]): Promise<void> {
    return asServer(postgresProgram("pg_ctl"), "-D", join(this.folder, "data"), ...args);
  }

  #url(name: string): string {
    return `postgres://whenthen@127.0.0.1:${this.port}/${name}`;
  }
}

function postgresProgram(name: string): string {
  const [version] = readdirSync(PACKAGED).sort((a, b) => Number(b) - Number(a));
  return join(PACKAGED, version, "bin", name);
}

/** The command that runs a program as the server's user if this is root. */
function asUser(program: string): string[] {
  return process.getuid!() === 0 ? ["runuser", "-u", "postgres", "--", program] : [program];
}

async function asServer(program: string, ...args: string[]): Promise<void> {
  const [command, ...before] = asUser(program);
  // It must be able to enter the current folder.
  await run(command, [...before, ...args], { cwd: "/" });
}

async function idsOf(user: string): Promise<[number, number]> {
  const idOf = async (flag: string) => Number((await run("id", [flag, user])).stdout);
  return [await idOf("-u"), await idOf("-g")];
}

/** Below the ports that systems give to outgoing connections: one of those must not take it while its server is down. */
const PORTS = { from: 20_000, to: 32_000 };

/** A port that nobody listens on, also for a server that ends and comes back. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.on("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
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
export const INFO = { name: "host", pid: 1, version: "1.2.3", address: null, rules: null };
