import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env } from "node:process";
import { messageOf, UsageError } from "../model/errors.ts";
import { type ConnectionOptions, Pool, type Sql, type Transaction } from "./pool.ts";

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
 * The folder on this machine for the files of a database that are in use. It is the same at each start, as commands look for the
 * program there.
 */
export function localFolderOf(url: string): string {
  const { host, pathname } = readUrl(url);
  const hash = createHash("sha256").update(`${host}${pathname}`).digest("hex").slice(0, 16);
  const lasting = env.XDG_CACHE_HOME || (existsSync("/var/tmp") ? "/var/tmp" : tmpdir());
  return join(lasting, `whenthen-${hash}`);
}

/** The version of the tables, raised with each entry of {@link UPGRADES}. */
const VERSION = 3;

/**
 * The tables of version 1. `lease` has one row: who decides, under which epoch. `log` has the frames of the log that are not folded
 * yet, those that a replica still needs, and always the newest one. `files` names the other files of the data folder, whose content
 * is in `chunks`.
 */
const TABLES = `
  create table whenthen.version (one int primary key check (one = 1), version int not null);
  insert into whenthen.version values (1, 1);
  create table whenthen.lease (one int primary key check (one = 1), epoch bigint not null, holder text, beat bigint not null)
    with (fillfactor = 10);
  insert into whenthen.lease values (1, 0, null, 0);
  create table whenthen.log (seq bigint primary key, epoch bigint not null, checksum bigint not null, frame bytea not null);
  create table whenthen.files (path text primary key, blob text not null, bytes bigint not null);
  create table whenthen.chunks (blob text not null, part int not null, bytes bytea not null, primary key (blob, part));
  alter table whenthen.log alter frame set storage external;
  alter table whenthen.chunks alter bytes set storage external;`;

/**
 * What each version adds to the one before. 2: `replicas` has the programs that work on the database, with their signs of life and
 * the last frame that they have applied; `inbox` has calls for the one that decides, until it has decided them; `turns` has
 * the replicas that do what only one does at a time. 3: frames, calls and chunks are packed, see `packing.ts`; `channel` is the
 * channel of the notifications, random so that only those who may read the tables know it. Programs of older versions cannot read packed
 * values: the upgrade fences them, and they refuse the tables when they open the database again.
 */
const UPGRADES: Record<number, string> = {
  2: `
  create table whenthen.replicas (id text primary key, beat bigint not null, beaten timestamptz not null, applied bigint not null,
    fenced boolean not null, started timestamptz not null, info text not null) with (fillfactor = 10);
  create table whenthen.inbox (replica text not null, seq bigint not null, calls text not null, primary key (replica, seq));
  create table whenthen.turns (name text primary key, holder text not null);
  create index on whenthen.files (path text_pattern_ops);`,
  3: `
  alter table whenthen.inbox alter calls type bytea using convert_to(calls, 'UTF8');
  alter table whenthen.inbox alter calls set storage external;
  alter table whenthen.chunks add packed boolean not null default false;
  alter table whenthen.version add channel text not null default 'whenthen_${randomBytes(16).toString("hex")}';
  update whenthen.replicas set fenced = true;
  update whenthen.lease set epoch = epoch + 1, holder = null;`,
};

/** The first statement of a transaction: if this program freezes within it, its locks keep nobody from taking over. */
export const RELEASE_IF_FROZEN = "set local idle_in_transaction_session_timeout = '2s'";

/** The number of the lock under which the tables are made: two first starts at once must not both make them. */
const MIGRATION_LOCK = 7_438_110;

/**
 * Connects, and makes the tables, or brings them to this version.
 * @throws UsageError if the database cannot be reached, or was written by a newer version of the program
 */
export async function connect(url: string): Promise<Sql> {
  // One for what must be in order, one for uploads beside it.
  const sql = await openConnections(url, { max: 2 });
  try {
    const version = await sql.begin(migrate);
    if (version <= VERSION) return sql;
    throw new UsageError(
      `Cannot use the database ${shownUrl(url)}: a newer version of whenthen wrote it (tables of version ${version}, ` +
        `this program knows ${VERSION}); use that version`,
    );
  } catch (error) {
    await sql.end({ timeout: 0 });
    if (error instanceof UsageError) throw error;
    throw cannotOpen(url, error, "check the URL, and that the user may create a schema");
  }
}

/** Why a database cannot be used. @param remedy what would work */
export function cannotOpen(url: string, error: unknown, remedy: string): UsageError {
  return new UsageError(`Cannot open the database ${shownUrl(url)}: ${reasonOf(error)}; ${remedy}`, { cause: error });
}

/** Connections that are made when they are needed. */
export async function openConnections(url: string, options: ConnectionOptions): Promise<Sql> {
  const { default: postgres } = await import("postgres");
  return new Pool(postgres, url, {
    // Poolers in transaction mode keep no prepared statements.
    prepare: false,
    fetch_types: false,
    connect_timeout: 10,
    onnotice: () => {},
    ...readUrl(url).searchParams.has("sslmode") ? {} : { ssl: isLoopback(url) ? false : "prefer" },
    connection: { application_name: "whenthen" },
    ...options,
  });
}

/** @returns the version of the tables afterwards, which may be newer than this program */
async function migrate(transaction: Transaction): Promise<number> {
  await transaction.unsafe(RELEASE_IF_FROZEN);
  await transaction.unsafe(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`);
  const [{ schema, version }] = await transaction.unsafe(
    "select to_regnamespace('whenthen') is not null as schema, to_regclass('whenthen.version') is not null as version",
  );
  if (!schema) await transaction.unsafe("create schema whenthen");
  if (!version) await transaction.unsafe(TABLES);
  const [row] = await transaction.unsafe("select version from whenthen.version");
  let reached = Number(row.version);
  while (reached < VERSION) {
    await transaction.unsafe(UPGRADES[++reached]);
    await transaction.unsafe(`update whenthen.version set version = ${reached}`);
  }
  return reached;
}

/** A refused connection to a name with several addresses has its reasons inside. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return messageOf(error) || String((error as { code?: unknown }).code ?? "unknown");
}

function isLoopback(url: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]", ""].includes(readUrl(url).hostname);
}
