import type { Event } from "../../model/event.ts";
import type { Run, RunState, StepRecord } from "../../model/run.ts";
import type { EventRecord } from "../store.ts";
import type { Database } from "./database.ts";

/** What `RUN_COLUMNS` selects. */
export interface RunRow {
  id: string;
  rule: string;
  version: string;
  trigger_id: string;
  event: number;
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
  error: string | null;
  output: string | null;
  replay_of: string | null;
}

export const RUN_COLUMNS = "id, rule, version, trigger_id, event, state, waiting_for, due, key, lane, admission, " +
  "created_at, started_at, ended_at, spent, alone, error, output, replay_of";

/** One run's row. */
export function readRunRow(database: Database, id: string): RunRow | undefined {
  return database.one<RunRow>(`SELECT ${RUN_COLUMNS} FROM runs WHERE id = @run`, id);
}

/** Makes a run of its row; reads its event. */
export function toRun(database: Database, row: RunRow): Run {
  const key: string | null = JSON.parse(row.key);
  return {
    id: row.id,
    rule: row.rule,
    version: row.version,
    trigger: row.trigger_id,
    event: readEvent(database, row.event),
    state: row.state,
    ...waitingFor(row),
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

/** The verdicts on an event, in the candidates' order. */
export function readVerdicts(database: Database, event: number): EventRecord["verdicts"] {
  return database.all<{ rule: string; trigger_id: string; verdict: string }>(
    "SELECT rule, trigger_id, verdict FROM verdicts WHERE event = ? ORDER BY position",
    event,
  ).map(({ rule, trigger_id, verdict }) => ({ rule, trigger: trigger_id, verdict: JSON.parse(verdict) }));
}
