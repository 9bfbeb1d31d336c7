import { crc32 } from "node:zlib";
import { Database } from "./database.ts";
import { DamagedError, NewerSchemaError } from "./damage.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/**
 * A checkpoint: a plain SQLite file with all frames up to `seq` in it. Its name carries the CRC32 of its bytes, so that
 * it can be checked and still opens in any SQLite shell.
 */
export interface CheckpointFile {
  name: string;
  seq: number;
  crc: number;
}

/** `checkpoint-000000000042-1a2b3c4d.sqlite` */
export function checkpointName(seq: number, crc: number): string {
  return `checkpoint-${String(seq).padStart(12, "0")}-${crc.toString(16).padStart(8, "0")}.sqlite`;
}

/** A checkpoint by its name, or undefined where it is another file. */
export function parseCheckpointName(name: string): CheckpointFile | undefined {
  const parts = /^checkpoint-(\d{12,})-([0-9a-f]{8})\.sqlite$/.exec(name);
  return parts ? { name, seq: Number(parts[1]), crc: parseInt(parts[2], 16) } : undefined;
}

/**
 * Opens a checkpoint's bytes.
 * @throws DamagedError, NewerSchemaError
 */
export async function openCheckpoint(
  file: CheckpointFile,
  bytes: Uint8Array,
): Promise<{ database: Database; schema: number }> {
  if (crc32(bytes) !== file.crc) throw new DamagedError(`${file.name} is damaged: its checksum differs`);
  const database = await Database.exportable(bytes);
  const schema = database.value<number>("SELECT value FROM meta WHERE name = 'schema'")!;
  if (schema > SCHEMA_VERSION) {
    database.close();
    throw new NewerSchemaError(schema);
  }
  return { database, schema };
}
