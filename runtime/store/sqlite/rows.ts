import type { Event } from "../../model/event.ts";
import type { Run, RunState, StepRecord, StepWait } from "../../model/run.ts";
import type { EventRecord } from "../store.ts";
import type { Database } from "./database.ts";

/** What `RUN_COLUMNS` selects. */
export interface RunRow {
  id: string;
  rule: string;
  version: string;
  trigger_id: string;
  event: number;
  /** The newest event when it was made. */
  began: number;
  state: RunState;
  waiting_for: string | null;
  due: number | null;
  key: string;
  lane: string;
  admission: string | null;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
  spent: number;
  alone: number;
  /** 1 where a wait of it was ended in the store while it was running. */
  woken: number;
  error: string | null;
  failed_step: string | null;
  output: string | null;
  replay_of: string | null;
}

export const RUN_COLUMNS = "id, rule, version, trigger_id, event, began, state, waiting_for, due, key, lane, " +
  "admission, created_at, started_at, ended_at, spent, alone, woken, error, failed_step, output, replay_of";

/** One run's row. */
export function readRunRow(database: Database, id: string): RunRow | undefined {
  return database.one<RunRow>(`SELECT ${RUN_COLUMNS} FROM runs WHERE id = @run`, id);
}

/** Makes a run of its row; reads its event. */
export function toRun(database: Database, row: RunRow): Run {
  const key: string | null = JSON.parse(row.key);
  const waits = row.ended_at === null ? readWaits(database, row.id) : [];
  return {
    id: row.id,
    rule: row.rule,
    version: row.version,
    trigger: row.trigger_id,
    event: readEvent(database, row.event),
    state: row.state,
    ...waitingFor(row),
    ...(waits.length > 0 && { waits }),
    ...(row.due !== null && { due: row.due }),
    ...(key !== null && { key }),
    createdAt: row.created_at,
    ...(row.started_at !== null && { startedAt: row.started_at }),
    ...(row.ended_at !== null && { endedAt: row.ended_at }),
    spent: row.spent,
    ...(row.error !== null && { error: JSON.parse(row.error) }),
    ...(row.output !== null && { output: JSON.parse(row.output) }),
    ...(row.replay_of !== null && { replayOf: row.replay_of }),
  };
}

function waitingFor({ state, waiting_for }: RunRow): { waitingFor?: string } {
  if (waiting_for !== null) return { waitingFor: waiting_for };
  return state === "queued" ? { waitingFor: "its turn" } : {};
}

/** An event as it was taken in; without its body where retention has dropped that. */
export function readEvent(database: Database, key: number): Event {
  const row = database.one<{ head: string; body: string | null }>(
    "SELECT head, body FROM events LEFT JOIN bodies ON event = key WHERE key = ?",
    key,
  )!;
  return { ...JSON.parse(row.head), ...(row.body === null ? { data: null } : JSON.parse(row.body)) };
}

/** The records of a run's steps, in the order in which they were first made. */
export function readSteps(database: Database, run: string): StepRecord[] {
  return database.all<{ record: string }>("SELECT record FROM steps WHERE run = @run ORDER BY position", run)
    .map(({ record }) => JSON.parse(record));
}

/** What is recorded of one step. */
export function readStep(database: Database, run: string, path: string): StepRecord | undefined {
  const record = database.value<string>("SELECT record FROM steps WHERE run = @run AND path = ?", run, path);
  return record === undefined ? undefined : JSON.parse(record);
}

/** The records of all steps below a path, in the order in which they were first made. */
export function readStepsBelow(database: Database, run: string, path: string): StepRecord[] {
  return database.all<{ record: string }>(
    "SELECT record FROM steps WHERE run = @run AND path > ? AND path < ? ORDER BY position",
    run,
    `${path}/`,
    // The character behind "/".
    `${path}0`,
  ).map(({ record }) => JSON.parse(record));
}

/** What a run's steps wait for, oldest first. */
export function readWaits(database: Database, run: string): StepWait[] {
  const rows = database.all<Omit<StepWait, "until"> & { until: number | null }>(
    "SELECT path AS step, kind, what, since, until FROM waits WHERE run = @run ORDER BY position",
    run,
  );
  return rows.map(({ until, ...wait }) => ({ ...wait, ...(until !== null && { until }) }));
}

/** The verdicts on an event, in the candidates' order. */
export function readVerdicts(database: Database, event: number): EventRecord["verdicts"] {
  return database.all<{ rule: string; trigger_id: string; verdict: string }>(
    "SELECT rule, trigger_id, verdict FROM verdicts WHERE event = ? ORDER BY position",
    event,
  ).map(({ rule, trigger_id, verdict }) => ({ rule, trigger: trigger_id, verdict: JSON.parse(verdict) }));
}
