import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import { base32, newId } from "../model/id.ts";
import { RELEASE_IF_FROZEN } from "./connection.ts";
import type { Sql, Transaction } from "./pool.ts";
import { pack, unpack } from "./packing.ts";
import { OF_STORE } from "./kept_files.ts";
import type { Right } from "./right.ts";

/** Bytes of a file in one row. */
const CHUNK = 1024 * 1024;

/** A file in the database. */
export interface StoredFile {
  /** The name of its chunks. */
  blob: string;
  bytes: number;
}

/** A change of several files, all or nothing. Paths are relative to the data folder, with slashes. */
export interface FilesChange {
  added: Map<string, StoredFile>;
  removed: string[];
  /** The content that these files must have before the change; undefined: there must be no such file. */
  expected?: Map<string, string | undefined>;
  /** The log's frames up to this one are in the files. */
  folded?: number;
}

/** The content of a file is not in the database any more: the file was replaced or removed meanwhile. */
export class FileGoneError extends Error {
  override name = "FileGoneError";
}

/** Another replica has changed a file first. */
export class FileChangedError extends Error {
  override name = "FileChangedError";
}

/** Milliseconds after which an upload that is in no file counts as left by a program that has ended. */
const ABANDONED = 3_600_000;

/** Bytes of the newest frames that stay for replicas that have not applied them: one that is further behind begins anew. */
const MOST_BEHIND = 256 * 1024 * 1024;

/** Files in the database: each in chunks, listed in a table when it is complete. */
export class StoredFiles {
  /**
   * @param right with which this program changes files at the moment
   * @param mostBehind bytes of frames that stay for replicas that have not applied them
   */
  constructor(
    private readonly sql: Sql,
    private readonly right: () => Right,
    private readonly mostBehind: number = MOST_BEHIND,
  ) {}

  /**
   * All files, by path.
   * @throws Error if a path leads out of the data folder
   */
  async list(): Promise<Map<string, StoredFile>> {
    return asFiles(await this.sql.unsafe("select path, blob, bytes::text from whenthen.files"));
  }

  /** The files of the store, by name. */
  async listStore(): Promise<Map<string, StoredFile>> {
    const query = "select path, blob, bytes::text from whenthen.files where path ~ $1";
    return asFiles(await this.sql.unsafe(query, [OF_STORE.source]));
  }

  /** The files below a folder, by path. @param folder without a slash at its end */
  async listBelow(folder: string): Promise<Map<string, StoredFile>> {
    const pattern = `${folder.replace(/[\\%_]/g, "\\$&")}/%`;
    return asFiles(
      await this.sql.unsafe("select path, blob, bytes::text from whenthen.files where path like $1", [pattern]),
    );
  }

  /** A file, as it is now. */
  async find(path: string): Promise<StoredFile | undefined> {
    return asFiles(
      await this.sql.unsafe("select path, blob, bytes::text from whenthen.files where path = $1", [path]),
    ).get(path);
  }

  /** Removes what uploads left that did not end. Other programs may be uploading at this moment. Only for who decides. */
  async removeAbandoned(): Promise<void> {
    // Names sort by the time of their upload.
    const latest = base32(Date.now() - ABANDONED, 9);
    await this.sql.unsafe(
      `with held as (${this.right().proof}) delete from whenthen.chunks c using held ` +
        'where c.blob < $1 collate "C" and not exists (select from whenthen.files f where f.blob = c.blob)',
      [latest],
    );
  }

  /**
   * Copies a file of a folder into the database; it is listed after {@link commit}.
   * @throws the signal's reason
   */
  async upload(disk: Disk, folder: string, path: string, signal?: AbortSignal): Promise<StoredFile> {
    const blob = newId(Date.now());
    const file = await disk.open(join(folder, path));
    let done = 0;
    try {
      // It may shrink meanwhile.
      for (let part = 0; done < file.size; part++) {
        signal?.throwIfAborted();
        const bytes = await file.read(part * CHUNK, CHUNK);
        if (bytes.length === 0) break;
        done += bytes.length;
        await this.sql.unsafe(
          "insert into whenthen.chunks (blob, part, bytes, packed) values ($1, $2::int, $3::bytea, true)",
          [blob, String(part), pack(bytes)],
        );
      }
      return { blob, bytes: done };
    } catch (error) {
      await this.discard([blob]);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Removes what was uploaded in vain. What cannot be removed now is removed at the next start. */
  async discard(blobs: string[]): Promise<void> {
    const remove = "delete from whenthen.chunks where blob in (select json_array_elements_text($1::text::json))";
    await this.sql.unsafe(remove, [JSON.stringify(blobs)]).catch(() => {});
  }

  /** Copies a file from the database into a folder. @throws FileGoneError if it was replaced or removed meanwhile */
  async download(
    disk: Disk,
    folder: string,
    path: string,
    { blob, bytes }: StoredFile,
    signal?: AbortSignal,
  ): Promise<void> {
    const file = await disk.create(join(folder, path));
    let done = 0;
    try {
      for (let part = 0; done < bytes; part++) {
        signal?.throwIfAborted();
        const [row] = await this.sql.unsafe(
          "select bytes, packed from whenthen.chunks where blob = $1 and part = $2::int",
          [blob, String(part)],
        );
        if (row === undefined) throw new FileGoneError(`The database has only ${done} of ${bytes} bytes of ${path}`);
        const content = row.packed ? unpack(row.bytes) : row.bytes;
        await file.write(content);
        done += content.length;
      }
    } finally {
      await file.close();
    }
  }

  /**
   * Makes a change durable.
   * @throws FolderLostError if this program may not change files any more; FileChangedError if a file has not the expected content
   */
  async commit({ added, removed, expected, folded }: FilesChange): Promise<void> {
    const right = this.right();
    right.assertHeld();
    const gone = await this.sql.begin((transaction) => replaceFiles(transaction, right, { added, removed, expected }));
    if (gone === undefined) return right.lose();
    // Not in the transaction, which keeps the lease locked, so that appends wait. What cannot be removed now is removed later: chunks
    // as those of an abandoned upload, frames after the next fold.
    if (gone.length > 0) await this.discard(gone);
    if (folded === undefined) return;
    const removal = `with held as (${right.proof}) ${REMOVE_FRAMES}`;
    await this.sql.unsafe(removal, [String(folded), String(this.mostBehind)]).catch(() => {});
  }
}

/** @returns the blobs that are in no file any more; undefined if the right is lost */
async function replaceFiles(
  transaction: Transaction,
  right: Right,
  { added, removed, expected }: FilesChange,
): Promise<string[] | undefined> {
  const [, held] = await transaction.unsafe<Row[][]>(`${RELEASE_IF_FROZEN}; ${right.proof}`);
  if (held.length === 0) return undefined;
  if (expected !== undefined) await assertExpected(transaction, expected);
  const paths = JSON.stringify([...added.keys(), ...removed]);
  const files = JSON.stringify([...added].map(([path, file]) => ({ path, ...file })));
  const [gone] = await transaction.unsafe<Row[][]>(
    "delete from whenthen.files where path in (select json_array_elements_text($1::text::json)) returning blob; " +
      "insert into whenthen.files (path, blob, bytes) " +
      "select path, blob, bytes from json_to_recordset($2::text::json) as f(path text, blob text, bytes bigint) returning 1",
    [paths, files],
  );
  // If the answer to an earlier attempt was lost, the same files were added before.
  const kept = new Set([...added.values()].map(({ blob }) => blob));
  return gone.map(({ blob }) => blob).filter((blob) => !kept.has(blob));
}

async function assertExpected(transaction: Transaction, expected: Map<string, string | undefined>): Promise<void> {
  for (const [path, blob] of expected) {
    const [row] = await transaction.unsafe("select blob from whenthen.files where path = $1 for update", [path]);
    if (row?.blob !== blob) {
      throw new FileChangedError(`Cannot save ${path}: another replica has changed it meanwhile; try again`);
    }
  }
}

/**
 * The newest frame stays, as the next one is checked against it; so does the last one that each other replica has applied, with all
 * after it. A replica that was declared dead needs none. For one that lives but does not apply them, only the newest ones stay.
 */
const REMOVE_FRAMES = `
  delete from whenthen.log using held where seq <= $1::bigint and seq < (select max(seq) from whenthen.log)
    and (
      not exists (
        select from whenthen.replicas r where not r.fenced and r.applied <= log.seq
          and r.id is distinct from (select holder from whenthen.lease)
      ) or seq <= (
        select max(seq) from (select seq, sum(octet_length(frame)) over (order by seq desc) as bytes from whenthen.log) sized
        where bytes > $2::bigint
      )
    )`;

type Row = Record<string, string>;

/** @throws Error if a path leads out of the data folder */
function asFiles(rows: { path: string; blob: string; bytes: string }[]): Map<string, StoredFile> {
  const wrong = rows.find(({ path }) => /^\/|\\|(?:^|\/)\.\.(?:\/|$)/.test(path));
  if (wrong) throw new Error(`The database names a file outside of the data folder: ${JSON.stringify(wrong.path)}`);
  return new Map(rows.map(({ path, blob, bytes }) => [path, { blob, bytes: Number(bytes) }]));
}
