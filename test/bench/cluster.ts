import postgres from "postgres";
import { Line } from "../database/line.ts";
import { DatabaseServer } from "../database/server.ts";
import type { Lab } from "./lab.ts";
import type { Server } from "./server.ts";

/** Several replicas of whenthen on a PostgreSQL of their own, used with `await using`. */
export class Cluster implements AsyncDisposable {
  readonly servers: Server[] = [];
  readonly #lines: Line[] = [];

  private constructor(
    private readonly lab: Lab,
    private readonly folder: string,
    private readonly database: DatabaseServer,
    readonly url: string,
    private readonly sql: postgres.Sql,
  ) {}

  /** @param roundTrip milliseconds that the network adds to a question to the database */
  static async start(lab: Lab, rules: Record<string, string>, count: number, roundTrip: number): Promise<Cluster> {
    const database = await DatabaseServer.start();
    const url = await database.create();
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    const cluster = new Cluster(lab, await lab.folder(rules), database, url, sql);
    try {
      while (cluster.servers.length < count) await cluster.add(roundTrip);
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** Starts one more. */
  async add(roundTrip = 0): Promise<Server> {
    const line = roundTrip === 0 ? undefined : await Line.to(this.url, roundTrip);
    if (line !== undefined) this.#lines.push(line);
    const server = await this.lab.startOn(this.lab.binary, this.folder, line?.url ?? this.url, await this.lab.folder());
    this.servers.push(server);
    return server;
  }

  /** The one that decides, and the others. */
  async roles(): Promise<{ decider: Server; followers: Server[] }> {
    for (;;) {
      for (const asked of this.servers) {
        const response = await fetch(`${asked.url}/api/replicas`);
        const members: { pid: number; decides: boolean; state: string }[] = await response.json();
        const found = members.find(({ decides, state }) => decides && state === "alive");
        const decider = this.servers.find(({ pid }) => pid === found?.pid);
        if (decider !== undefined) return { decider, followers: this.servers.filter((one) => one !== decider) };
      }
    }
  }

  /** Ends one by a signal. */
  async end(server: Server, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.servers.splice(this.servers.indexOf(server), 1);
    await server.end(signal);
  }

  /** Bytes that the database has written to its own log so far. */
  async walBytes(): Promise<number> {
    const [{ bytes }] = await this.sql`select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as bytes`;
    return Number(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server[Symbol.asyncDispose]();
    for (const line of this.#lines) await line[Symbol.asyncDispose]();
    await this.sql.end({ timeout: 1 });
    await this.database[Symbol.asyncDispose]();
  }
}
