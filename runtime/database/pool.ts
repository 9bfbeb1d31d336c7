import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type postgres from "postgres";
import { codeOf } from "../model/errors.ts";
import { type Value, withValues } from "./literals.ts";

/** Connections to PostgreSQL. Each has one statement at a time, or one transaction; more of them wait, in order. */
export interface Sql extends Transaction {
  begin<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * A statement with rows and, once it is committed, another one: in one round trip. If this fails, the first one may be committed.
   * @param next without values
   * @returns the rows of the first one
   */
  askBoth<T extends postgres.Row[]>(
    query: string,
    values: readonly Value[],
    next: string,
  ): Promise<postgres.RowList<T>>;
  /** @param options seconds for what is under way */
  end(options?: { timeout: number }): Promise<void>;
}

/** A connection within a transaction. */
export interface Transaction {
  unsafe<T extends postgres.Row[]>(query: string, values?: readonly Value[]): Promise<postgres.RowList<T>>;
}

/** Options of the library, for each connection. */
export type ConnectionOptions = Omit<postgres.Options<never>, "max"> & {
  /** Most connections at a time. */
  max: number;
  /** Called after a connection was closed. */
  onclose?: () => void;
};

/** The errors of connections that broke, or could not be made. */
const broken = new WeakSet<Error>();

/**
 * Whether an error of a statement came from a database that cannot be reached or used at the moment, so that the statement may succeed
 * later. Not if the connections were ended here, or the statement, or what it finds, is wrong (classes 22 and 42 of SQLSTATE).
 */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return broken.has(error) || "severity" in error && !/^(?:22|42)...$/.test(codeOf(error) ?? "");
}

/** Milliseconds for the TCP connection to the server. */
const CONNECTING = 10_000;

/**
 * The library sends statements on a connection before earlier ones are answered. Behind a pooler in transaction mode some then get no
 * answer, see https://github.com/porsager/postgres/issues/970; and `max_pipeline: 0` makes its transactions fail. So statements wait
 * here for a connection that is free.
 */
export class Pool implements Sql {
  readonly #connections = new Set<Connection>();
  /** The connection that was used last comes last. */
  readonly #free: (Connection | undefined)[];
  readonly #waiting: ((connection: Connection | undefined) => void)[] = [];
  #ended = false;

  constructor(
    private readonly open: typeof postgres,
    private readonly url: string,
    private readonly options: ConnectionOptions,
  ) {
    this.#free = Array.from({ length: options.max }, () => undefined);
  }

  unsafe<T extends postgres.Row[]>(query: string, values?: readonly Value[]): Promise<postgres.RowList<T>> {
    return this.#alone((connection) => connection.unsafe<T>(query, values));
  }

  begin<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#orRollBack(async (connection) => {
      await connection.unsafe("begin");
      const result = await work(connection);
      const { command } = await connection.unsafe("commit");
      // A statement had failed, and `work` ignored that.
      if (command !== "COMMIT") throw new Error("The transaction was rolled back, as one of its statements failed");
      return result;
    });
  }

  askBoth<T extends postgres.Row[]>(
    query: string,
    values: readonly Value[],
    next: string,
  ): Promise<postgres.RowList<T>> {
    return this.#orRollBack(async (connection) => {
      const [, rows] = await connection.unsafe(`begin; ${query}; commit; ${next}`, values);
      return rows as unknown as postgres.RowList<T>;
    });
  }

  async end(options?: { timeout: number }): Promise<void> {
    this.#ended = true;
    await Promise.all([...this.#connections].map((connection) => connection.end(options)));
  }

  /** Gives the work a connection for itself. If the work fails, its transaction is rolled back. */
  #orRollBack<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#alone(async (connection) => {
      try {
        return await work(connection);
      } catch (error) {
        await connection.unsafe("rollback").catch(() => {});
        throw error;
      }
    });
  }

  /** Gives the work a connection for itself. */
  async #alone<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const free = this.#free.length > 0 ? this.#free.pop() : await new Promise<Connection | undefined>((resolve) => {
      this.#waiting.push(resolve);
    });
    let connection = free;
    try {
      if (this.#ended) throw connectionError("CONNECTION_ENDED", "The connections to the database are ended");
      if (connection === undefined || connection.isClosed) connection = this.#connect();
      return await work(connection);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(connection);
      else next(connection);
    }
  }

  #connect(): Connection {
    const connection: Connection = new Connection(this.open, this.url, this.options, () => {
      this.#connections.delete(connection);
      this.options.onclose?.();
    });
    this.#connections.add(connection);
    return connection;
  }
}

/**
 * One connection, made for the first statement, and of no use once it is closed. The library would connect again on its own, which
 * goes wrong in four ways: what it had not written yet comes first on the next connection, and nothing more is written until
 * that times out (10 s); a connection that is closed while it begins is tried again without end; later statements of a transaction
 * take effect without their transaction; and the write of a statement on a closed connection ends the program. See
 * https://github.com/porsager/postgres/pull/1155, 1176 and 1214.
 */
class Connection implements Transaction {
  readonly #sql: postgres.Sql;
  #socket: Socket | undefined;
  #closed: Error | undefined;
  /** The statements that wait for an answer. */
  readonly #asking = new Set<(error: Error) => void>();

  constructor(
    open: typeof postgres,
    url: string,
    { max: _max, onclose: _onclose, ...options }: ConnectionOptions,
    private readonly onClosed: () => void,
  ) {
    const own = {
      ...options,
      max: 1,
      // The library would close it for its age while a statement begins.
      max_lifetime: null,
      socket: (place: Place) => this.#connect(place),
      onclose: () => this.#close(connectionError("CONNECTION_CLOSED", "The connection to the database was closed")),
    };
    // The types of the library do not name `socket`.
    this.#sql = open(url, own as postgres.Options<never>);
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  unsafe<T extends postgres.Row[]>(query: string, values?: readonly Value[]): Promise<postgres.RowList<T>> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed);
      const statement = values ? withValues(query, values) : query;
      this.#asking.add(reject);
      this.#sql.unsafe<T>(statement).then(resolve, (error) => {
        reject(error);
        // After any error but the server's refusal of the statement, the connection is not usable.
        if (error.severity !== "ERROR") this.#close(error);
      }).finally(() => this.#asking.delete(reject));
    });
  }

  async end(options?: { timeout: number }): Promise<void> {
    await this.#sql.end(options);
    this.#close(connectionError("CONNECTION_ENDED", "The connection to the database is ended"));
  }

  #close(error: Error): void {
    if (codeOf(error) !== "CONNECTION_ENDED") broken.add(error);
    if (this.#closed !== undefined) return;
    this.#closed = error;
    for (const reject of this.#asking) reject(error);
    this.#socket?.destroy();
    this.onClosed();
  }

  /** The library asks for a socket each time that it connects. */
  async #connect(place: Place): Promise<Socket> {
    if (this.#socket !== undefined || this.#closed !== undefined) {
      throw connectionError("CONNECTION_CLOSED", "The connection to the database was closed");
    }
    let failure: unknown;
    for (const [index, host] of place.host.entries()) {
      try {
        return this.#socket = await connectTo(place.path ? { path: place.path } : { host, port: place.port[index] });
      } catch (error) {
        failure = error;
      }
    }
    // With several hosts the library would ignore it.
    this.#close(failure as Error);
    throw failure;
  }
}

/** Where the server is, as the library has read it from the URL and the environment. */
interface Place {
  host: string[];
  port: number[];
  /** Of a socket on this machine. */
  path?: string | false;
}

/** @throws Error if the server does not accept the connection */
async function connectTo(address: { path: string } | { host: string; port: number }): Promise<Socket> {
  const socket = connect({ ...address, noDelay: true });
  // The library takes the name for TLS from here.
  if ("host" in address) Object.assign(socket, address);
  const late = connectionError("CONNECT_TIMEOUT", `no connection to the database within ${CONNECTING / 1_000} s`);
  const timer = setTimeout(() => socket.destroy(late), CONNECTING);
  try {
    await once(socket, "connect");
  } finally {
    clearTimeout(timer);
  }
  return socket;
}

function connectionError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
