import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import { newId } from "../model/id.ts";
import { RELEASE_IF_FROZEN, type Sql } from "./connection.ts";
import type { Lease } from "./lease.ts";

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
  /** The log's frames up to this one are in the files. */
  folded?: number;
}

/** Files in the database: each in chunks, listed in a table when it is complete. */
export class StoredFiles {
  constructor(private readonly sql: Sql, private readonly lease: Lease) {}

  /**
   * All files, by path. Removes what uploads left that did not end.
   * @throws Error if a path leads out of the data folder
   */
  async list(): Promise<Map<string, StoredFile>> {
    await this.sql.unsafe(
      "with held as (update whenthen.lease set beat = beat + 1 where epoch = $1::bigint returning 1) " +
        "delete from whenthen.chunks c using held where not exists (select from whenthen.files f where f.blob = c.blob)",
      [this.lease.epoch],
    );
    const rows = await this.sql.unsafe("select path, blob, bytes::text from whenthen.files");
    const wrong = rows.find(({ path }) => /^\/|\\|(?:^|\/)\.\.(?:\/|$)/.test(path));
    if (wrong) throw new Error(`The database names a file outside of the data folder: ${JSON.stringify(wrong.path)}`);
    return new Map(rows.map(({ path, blob, bytes }) => [path, { blob, bytes: Number(bytes) }]));
  }

  /** Copies a file of a folder into the database; it is listed after {@link commit}. */
  async upload(disk: Disk, folder: string, path: string): Promise<StoredFile> {
    const blob = newId(Date.now());
    const file = await disk.open(join(folder, path));
    let done = 0;
    try {
      // It may shrink meanwhile.
      for (let part = 0; done < file.size; part++) {
        const bytes = Buffer.from(await file.read(part * CHUNK, CHUNK));
        if (bytes.length === 0) break;
        done += bytes.length;
        await this.sql.unsafe("insert into whenthen.chunks (blob, part, bytes) values ($1, $2::int, $3::bytea)", [
          blob,
          String(part),
          bytes,
        ]);
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

  /** Copies a file from the database into a folder. @throws Error if it is not whole */
  async download(disk: Disk, folder: string, path: string, { blob, bytes }: StoredFile): Promise<void> {
    const file = await disk.create(join(folder, path));
    let done = 0;
    try {
      for (let part = 0; done < bytes; part++) {
        const [row] = await this.sql.unsafe("select bytes from whenthen.chunks where blob = $1 and part = $2::int", [
          blob,
          String(part),
        ]);
        if (row === undefined) throw new Error(`The database has only ${done} of ${bytes} bytes of ${path}`);
        await file.write(row.bytes);
        done += row.bytes.length;
      }
    } finally {
      await file.close();
    }
  }

  /** Makes a change durable. @throws FolderLostError if another program has taken over */
  async commit({ added, removed, folded }: FilesChange): Promise<void> {
    this.lease.assertHeld();
    const rows = [...added].map(([path, file]) => ({ path, ...file }));
    const held = await this.sql.begin(async (transaction) => {
      await transaction.unsafe(RELEASE_IF_FROZEN);
      const update = "update whenthen.lease set beat = beat + 1 where epoch = $1::bigint returning 1";
      const held = await transaction.unsafe(update, [this.lease.epoch]);
      if (held.length === 0) return false;
      const gone = JSON.stringify([...added.keys(), ...removed]);
      await transaction.unsafe(
        "with gone as (delete from whenthen.files where path in (select json_array_elements_text($1::text::json)) " +
          "returning blob) delete from whenthen.chunks where blob in (select blob from gone)",
        [gone],
      );
      await transaction.unsafe(
        "insert into whenthen.files (path, blob, bytes) " +
          "select path, blob, bytes from json_to_recordset($1::text::json) as f(path text, blob text, bytes bigint)",
        [JSON.stringify(rows)],
      );
      if (folded !== undefined) {
        // The newest frame stays: the next one is checked against it.
        await transaction.unsafe(
          "delete from whenthen.log where seq <= $1::bigint and seq < (select max(seq) from whenthen.log)",
          [String(folded)],
        );
      }
      return true;
    });
    if (!held) this.lease.lose();
  }
}
