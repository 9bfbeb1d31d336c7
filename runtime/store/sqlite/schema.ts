import { batchTables } from "./batches_schema.ts";
import { waitTables } from "./waits_schema.ts";

/**
 * The tables, as an ordered list of steps: entry n makes version n + 1 out of version n. Never edit an entry that was
 * released, add one. Statements name the schema they work in, as the live database is an attached one.
 */
export const MIGRATIONS: ((schema: string) => string[])[] = [firstVersion];

/** The version that this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/** Every table of the newest version. */
function firstVersion(schema: string): string[] {
  const table = (name: string, columns: string, options = "STRICT") =>
    `CREATE TABLE ${schema}.${name} (${columns}) ${options}`;
  const index = (name: string, on: string) => `CREATE INDEX ${schema}.${name} ON ${on}`;
  const clustered = "STRICT, WITHOUT ROWID";
  return [
    // A checkpoint's own facts: `seq`, the last frame in it, and `schema`.
    table("meta", "name TEXT PRIMARY KEY, value INTEGER NOT NULL", clustered),
    table("versions", "version TEXT PRIMARY KEY, rule TEXT NOT NULL"),
    // What is known of a rule for ever: counters, the limit's theoretical arrival time, who paused it. `version` is that in force.
    table(
      "rules",
      `id TEXT PRIMARY KEY, version TEXT, paused TEXT, arrival REAL NOT NULL DEFAULT 0,
       started INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, condition INTEGER NOT NULL DEFAULT 0,
       busy INTEGER NOT NULL DEFAULT 0, batched INTEGER NOT NULL DEFAULT 0, disabled INTEGER NOT NULL DEFAULT 0,
       looped INTEGER NOT NULL DEFAULT 0, error INTEGER NOT NULL DEFAULT 0,
       succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0`,
      clustered,
    ),
    table(
      "identities",
      `source TEXT, id TEXT, event INTEGER NOT NULL, received_at INTEGER NOT NULL, within INTEGER,
       runs TEXT NOT NULL, PRIMARY KEY (source, id)`,
      clustered,
    ),
    index("identities_by_age", "identities (received_at, source, id) WHERE within IS NULL"),
    index("identities_by_end", "identities (received_at + within, source, id) WHERE within IS NOT NULL"),
    // `live` counts the runs and the open batches that still need it; `whole` is 0 once its body was dropped.
    table(
      "events",
      `key INTEGER PRIMARY KEY, type TEXT NOT NULL, head TEXT NOT NULL, delivery TEXT NOT NULL,
       received_at INTEGER NOT NULL, deliveries INTEGER NOT NULL, live INTEGER NOT NULL, whole INTEGER NOT NULL`,
    ),
    index("events_by_type", "events (type, key)"),
    index("events_droppable", "events (key) WHERE live = 0 AND whole = 1"),
    table("bodies", "event INTEGER PRIMARY KEY, body TEXT NOT NULL"),
    table("replies", "event INTEGER PRIMARY KEY, reply TEXT NOT NULL"),
    table(
      "verdicts",
      `event INTEGER, position INTEGER, rule TEXT NOT NULL, trigger_id TEXT NOT NULL, verdict TEXT NOT NULL,
       PRIMARY KEY (event, position)`,
      clustered,
    ),
    index("verdicts_by_rule", "verdicts (rule, event)"),
    // `lane`: the runs that count together for `mode`. `ready_at` is null unless time alone decides when it goes on;
    // `owner` is null unless it runs; `ended_at` is null while it lives; `admission` is null once it is admitted. `began`:
    // the newest event when it was made. `woken`: the store changed what it waits for while it was running.
    table(
      "runs",
      `id TEXT PRIMARY KEY, rule TEXT NOT NULL, version TEXT NOT NULL, trigger_id TEXT NOT NULL,
       event INTEGER NOT NULL, began INTEGER NOT NULL, state TEXT NOT NULL, waiting_for TEXT, due INTEGER, key TEXT NOT NULL,
       lane TEXT NOT NULL, ready_at INTEGER, owner TEXT, admission TEXT, created_at INTEGER NOT NULL,
       started_at INTEGER, ended_at INTEGER, spent INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0,
       woken INTEGER NOT NULL DEFAULT 0, error TEXT, failed_step TEXT, output TEXT, replay_of TEXT,
       listed INTEGER NOT NULL DEFAULT 1`,
      clustered,
    ),
    index("runs_in_lane", "runs (rule, lane, id) WHERE ended_at IS NULL"),
    index("runs_ready", "runs (rule, lane, ready_at, id) WHERE ready_at IS NOT NULL"),
    index("runs_running", "runs (rule, lane, owner) WHERE owner IS NOT NULL"),
    index("runs_by_version", "runs (version, began) WHERE ended_at IS NULL"),
    index("runs_by_event", "runs (event)"),
    index("runs_by_rule", "runs (rule, id) WHERE listed = 1"),
    index("runs_by_state", "runs (state, id) WHERE listed = 1"),
    // One row for each lane with live runs. `next_at`: when its next run may be claimed, null while it has no room.
    table(
      "lanes",
      `rule TEXT, lane TEXT, in_order INTEGER NOT NULL, room INTEGER NOT NULL, next_at INTEGER,
       PRIMARY KEY (rule, lane)`,
      clustered,
    ),
    index("lanes_by_next", "lanes (next_at, rule, lane) WHERE next_at IS NOT NULL"),
    // `settled`: the store ended it, as its wait or its branch; what is recorded of it later is dropped.
    table(
      "steps",
      `position INTEGER PRIMARY KEY, run TEXT NOT NULL, path TEXT NOT NULL, record TEXT NOT NULL,
       settled INTEGER NOT NULL, UNIQUE (run, path)`,
    ),
    table(
      "notes",
      "run TEXT, position INTEGER, at INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (run, position)",
      clustered,
    ),
    table("marks", "rule TEXT, trigger_id TEXT, mark TEXT NOT NULL, PRIMARY KEY (rule, trigger_id)", clustered),
    table(
      "baselines",
      "rule TEXT, trigger_id TEXT, key TEXT, item TEXT NOT NULL, PRIMARY KEY (rule, trigger_id, key)",
    ),
    table("state", "key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at INTEGER"),
    index("state_by_end", "state (expires_at, key) WHERE expires_at IS NOT NULL"),
    ...waitTables(schema),
    ...batchTables(schema),
  ];
}
