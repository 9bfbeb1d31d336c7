/** The format version that this program writes. */
export const PART_FORMAT = 1;

/** The name of a part, parsed. */
export interface PartFile {
  name: string;
  first: number;
  last: number;
  crc: number;
}

/** `part-000000000001-000000000042-1a2b3c4d.sqlite`: the frames of its segment, and the CRC32 of its bytes. */
export function partName(first: number, last: number, crc: number): string {
  const [from, to] = [first, last].map((seq) => String(seq).padStart(12, "0"));
  return `part-${from}-${to}-${crc.toString(16).padStart(8, "0")}.sqlite`;
}

/** Parses the name of a part; undefined if it is another file. */
export function parsePartName(name: string): PartFile | undefined {
  const parts = /^part-(\d{12,})-(\d{12,})-([0-9a-f]{8})\.sqlite$/.exec(name);
  return parts ? { name, first: Number(parts[1]), last: Number(parts[2]), crc: parseInt(parts[3], 16) } : undefined;
}

/**
 * The tables of a part. Texts are stored in blocks, JSON arrays of about 64 kB, so that rows are small and table scans fast.
 * `from_byte` and `bytes` locate a row's text in its block, and the views join it to the row. `line` is the line number in the
 * segment: later records have higher ones. The first `brief_bytes` of a run's text come before its steps.
 */
export const PART_SCHEMA = `
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE blocks (block INTEGER PRIMARY KEY, texts TEXT NOT NULL) STRICT;
CREATE TABLE events (
  key INTEGER PRIMARY KEY, at REAL NOT NULL, type TEXT NOT NULL, subject TEXT, delivery TEXT NOT NULL, rules TEXT NOT NULL,
  block INTEGER NOT NULL, from_byte INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
  id TEXT PRIMARY KEY, rule TEXT NOT NULL, state TEXT NOT NULL, event INTEGER NOT NULL, subject TEXT,
  created_at REAL NOT NULL, ended_at REAL NOT NULL, listed INTEGER NOT NULL, version TEXT NOT NULL, line INTEGER NOT NULL,
  brief_bytes INTEGER NOT NULL,
  block INTEGER NOT NULL, from_byte INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE more (
  id ANY NOT NULL, line INTEGER NOT NULL, block INTEGER NOT NULL, from_byte INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (id, line)
) STRICT, WITHOUT ROWID;
${viewOf("events")}
${viewOf("runs", `, ${textOf("brief_bytes")} || iif(brief_bytes < bytes, '}', '') AS brief`)}
${viewOf("more")}`;

/** @param more columns, each after a comma */
function viewOf(table: string, more = ""): string {
  return `CREATE VIEW ${table}_with_text AS SELECT ${table}.*, ${textOf("bytes")} AS text${more}
  FROM ${table} CROSS JOIN blocks ON blocks.block = ${table}.block;`;
}

function textOf(bytes: string): string {
  return `CAST(substr(CAST(texts AS BLOB), from_byte + 1, ${bytes}) AS TEXT)`;
}
