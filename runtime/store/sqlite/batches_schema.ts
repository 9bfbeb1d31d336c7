/** The tables of open batches: a closed one is an event. */
export function batchTables(schema: string): string[] {
  return [
    `CREATE TABLE ${schema}.batches (
       id TEXT PRIMARY KEY, rule TEXT NOT NULL, trigger_id TEXT NOT NULL, key TEXT NOT NULL, options TEXT NOT NULL,
       opened_at INTEGER NOT NULL, last_at INTEGER NOT NULL, closes_at INTEGER NOT NULL,
       count INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
    `CREATE INDEX ${schema}.batches_by_key ON batches (rule, trigger_id, key, closes_at)`,
    `CREATE INDEX ${schema}.batches_by_close ON batches (rule, closes_at, id)`,
    `CREATE TABLE ${schema}.batch_events (
       batch TEXT, position INTEGER, event INTEGER NOT NULL, PRIMARY KEY (batch, position)) STRICT, WITHOUT ROWID`,
  ];
}
