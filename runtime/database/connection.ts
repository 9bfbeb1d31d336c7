import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env } from "node:process";
import type postgres from "postgres";
import { messageOf, UsageError } from "../model/errors.ts";

/** Connections to PostgreSQL, as the library gives them. */
export type Sql = postgres.Sql;

/** Whether `--data` names a database instead of a folder. */
export function isDatabaseUrl(data: string): boolean {
  return /^postgres(ql)?:\/\//.test(data);
}

/**
 * The parts of a database's URL.
 * @throws UsageError if it cannot be read; the message does not contain it, as it has a password
 */
function readUrl(url: string): URL {
  try {
    const read = new URL(url);
    decodeURIComponent(read.username + read.password);
    return read;
  } catch {
    throw new UsageError(
      "Cannot read the URL of the database in --data: expected postgres://user:password@host:port/name; " +
        "in the password, write # as %23, / as %2F, ? as %3F, @ as %40 and % as %25",
    );
  }
}

/** A database's URL for messages: without its password. */
export function shownUrl(url: string): string {
  const shown = readUrl(url);
  shown.password = shown.search = "";
  return shown.href;
}

/**
 * The folder on this machine for the files of a database that are in use. It is the same at each start, as runs record the paths of
 * the files that they save.
 */
export function localFolderOf(url: string): string {
  const { host, pathname } = readUrl(url);
  const hash = createHash("sha256").update(`${host}${pathname}`).digest("hex").slice(0, 16);
  const lasting = env.XDG_CACHE_HOME || (existsSync("/var/tmp") ? "/var/tmp" : tmpdir());
  return join(lasting, `whenthen-${hash}`);
}

/** The version of the tables, raised with each change of {@link TABLES}. */
const VERSION = 1;

/**
 * `lease` has one row: who decides, under which epoch. `log` has the frames of the log that are not folded yet, and always the
 * newest one. `files` names the other files of the data folder, whose content is in `chunks`.
 */
const TABLES = `
  create table whenthen.version (one int primary key check (one = 1), version int not null);
  insert into whenthen.version values (1, ${VERSION});
  create table whenthen.lease (one int primary key check (one = 1), epoch bigint not null, holder text, beat bigint not null)
    with (fillfactor = 10);
  insert into whenthen.lease values (1, 0, null, 0);
  create table whenthen.log (seq bigint primary key, epoch bigint not null, checksum bigint not null, frame bytea not null);
  create table whenthen.files (path text primary key, blob text not null, bytes bigint not null);
  create table whenthen.chunks (blob text not null, part int not null, bytes bytea not null, primary key (blob, part));
  alter table whenthen.log alter frame set storage external;
  alter table whenthen.chunks alter bytes set storage external;`;

/** The first statement of a transaction: if this program freezes within it, its locks keep nobody from taking over. */
export const RELEASE_IF_FROZEN = "set local idle_in_transaction_session_timeout = '2s'";

/** The number of the lock under which the tables are made: two first starts at once must not both make them. */
const MIGRATION_LOCK = 7_438_110;

/**
 * Connects, and makes the tables if they are missing.
 * @throws UsageError if the database cannot be reached, or was written by a newer version of the program
 */
export async function connect(url: string): Promise<Sql> {
  const { default: postgres } = await import("postgres");
  const sql = postgres(url, {
    // One for what must be in order, one for uploads beside it.
    max: 2,
    // Poolers in transaction mode keep no prepared statements.
    prepare: false,
    fetch_types: false,
    connect_timeout: 10,
    // Seconds before another attempt to connect: whoever asks decides how often.
    backoff: () => 0.1,
    onnotice: () => {},
    ...readUrl(url).searchParams.has("sslmode") ? {} : { ssl: isLoopback(url) ? false : "prefer" },
    connection: { application_name: "whenthen" },
  });
  try {
    const version = await sql.begin(async (transaction) => {
      await transaction.unsafe(RELEASE_IF_FROZEN);
      await transaction.unsafe(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`);
      const [{ schema, version }] = await transaction.unsafe(
        "select to_regnamespace('whenthen') is not null as schema, to_regclass('whenthen.version') is not null as version",
      );
      if (!schema) await transaction.unsafe("create schema whenthen");
      if (!version) await transaction.unsafe(TABLES);
      const [row] = await transaction.unsafe("select version from whenthen.version");
      return Number(row.version);
    });
    if (version <= VERSION) return sql;
    throw new UsageError(
      `Cannot use the database ${shownUrl(url)}: a newer version of whenthen wrote it (tables of version ${version}, ` +
        `this program knows ${VERSION}); use that version`,
    );
  } catch (error) {
    await sql.end({ timeout: 0 });
    if (error instanceof UsageError) throw error;
    const remedy = "check the URL, and that the user may create a schema";
    throw new UsageError(`Cannot open the database ${shownUrl(url)}: ${reasonOf(error)}; ${remedy}`, { cause: error });
  }
}

/** A refused connection to a name with several addresses has its reasons inside. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return messageOf(error) || String((error as { code?: unknown }).code ?? "unknown");
}

function isLoopback(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]", ""].includes(readUrl(url).hostname);
}
