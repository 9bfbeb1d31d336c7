import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { Json } from "../../runtime/model/json.ts";
import { PackedIdentities, readIds } from "../../runtime/store/history/ids_file.ts";
import { type HistoryText, loadIdentity, unescapeKey } from "../../runtime/store/ledger/ledger.ts";
import { Ids } from "../../runtime/store/ledger/keys.ts";
import { Rows } from "../../runtime/store/ledger/rows.ts";
import { Shelf } from "../../runtime/store/ledger/shelf.ts";
import { type EventRow, type TableName, TABLES, toJson } from "../../runtime/store/ledger/tables.ts";
import { recover, type RecoverySink } from "../../runtime/store/log/recover.ts";
import { MemoryFile } from "../host/memory_file.ts";
import type { Admission, Wait } from "../../runtime/store/store.ts";
import { accept } from "../../runtime/store/transitions/accept.ts";
import { answerCondition } from "../../runtime/store/transitions/admission.ts";
import { adaptBatches } from "../../runtime/store/transitions/batch_rows.ts";
import type { RunText } from "../../runtime/store/history/history_lines.ts";
import { cancelRun, finishRun } from "../../runtime/store/transitions/end_run.ts";
import { claimRuns, reclaimRuns, suspendRun } from "../../runtime/store/transitions/claim_runs.ts";
import { rollBackClock } from "../../runtime/store/transitions/clock_rollback.ts";
import { closeBatch } from "../../runtime/store/transitions/close_batch.ts";
import { answerForm, resolveSearch, skipWait } from "../../runtime/store/transitions/waits.ts";
import { changeVersions, dropVersions, setPaused } from "../../runtime/store/transitions/rule_rows.ts";
import { prune } from "../../runtime/store/transitions/progress.ts";
import { recordStep } from "../../runtime/store/transitions/record_step.ts";
import { moveRun, replayRun, retryRun } from "../../runtime/store/transitions/operate_run.ts";
import type { TransitionContext } from "../../runtime/store/transitions/transition.ts";
import type { FaultyDisk } from "../faults/faulty_disk.ts";
import { admission, arrival, DAY, FOLDER, NOW, RETENTION, rule, step } from "./helpers.ts";

/** Rows and what else transitions need, as in the store. */
export class State {
  readonly ids = new Ids(0, "00ff00ff");
  /** Ended runs, as in history, by id. */
  readonly ended = new Map<string, RunText>();
  readonly events = new Map<number, EventRow>();
  now = NOW;

  /** @param rows by default rows that move to the shelf soon */
  constructor(readonly rows = new Rows(undefined, new Shelf(new MemoryFile()), 3)) {}

  get at(): TransitionContext {
    return {
      now: this.now,
      ids: this.ids,
      retention: RETENTION,
      hasListener: (type) => type === "whenthen.run.failed",
    };
  }

  /** Keeps the history of a frame. */
  remember(history: HistoryText[]): void {
    for (const { kind, text } of history) {
      if (kind === "run") this.ended.set(JSON.parse(text).run.id, JSON.parse(text));
      if (kind === "event") this.events.set(JSON.parse(text).key, JSON.parse(text));
    }
  }
}

/** The next operation; the numbers choose its targets. */
export interface Operation {
  name: keyof typeof OPERATIONS;
  a: number;
  b: number;
}

/** A live run, or one that does not exist. */
function pick({ rows }: State, which: number): string {
  const ids = [...rows.all("run")].map(([id]) => id).sort();
  return ids[which % ids.length] ?? "nobody";
}

function waitOf(state: State, a: number, b: number): Wait {
  if (a % 3 === 0) return { kind: "time" };
  if (a % 3 === 1) {
    return { kind: "event", types: [["paid", "paid.*", "*"][b % 3], "x"], match: b % 2 ? { "data.id": `e${a}` } : {} };
  }
  const id = `form ${pick(state, a)} ${b}`;
  return {
    kind: "form",
    form: { id, title: "?", to: ["a@X.org", `p${b}`], fields: {}, ...b % 2 && { due: state.now + 9 } },
  };
}

function admissionOf(a: number, b: number): Admission {
  return {
    ...admission,
    mode: (["parallel", "queued", "single", "restart"] as const)[b % 4],
    key: a % 3 ? `k\u0000\t\n\\${a % 3}` : null,
    max: 1 + a % 2,
    limit: b % 5 === 0 ? { count: 2, per: 1_000 } : null,
    asksFirst: b % 7 === 0,
  };
}

const error = { name: "Error", message: "it broke" };

/** Each operation of the store, as a transition over rows. */
const OPERATIONS = {
  accept({ rows, at }: State, a: number, b: number) {
    const candidates = [{ rule: "shop/pay", version: "v1", trigger: "t", outcome: admissionOf(a, b) }];
    const progress = b % 2 ? [] : [{
      rule: "r",
      trigger: "t",
      mark: { a, b },
      baseline: { put: [[`${b}`, a]] as [string, Json][], remove: [`${a}`] },
    }];
    const one = arrival(`e${a}`, candidates, b % 3 ? undefined : 5_000 * a);
    return accept(rows, { arrivals: [one], progress, ...b % 2 && { lease: { owner: "me", max: 1 } } }, at);
  },
  publish: ({ rows, at }: State, a: number) => accept(rows, { arrivals: [arrival(`e${a}`, [])], progress: [] }, at),
  collect({ rows, at }: State, a: number, b: number) {
    const terms = { within: 1_000 * a, max: 3, empty: false, options: JSON.stringify({ b }) };
    const outcome = { kind: "collect" as const, key: b % 2 ? `"k${b}"` : null, terms };
    return accept(rows, {
      arrivals: [arrival(`c${a}`, [{ rule: "batched", version: "v1", trigger: "b", outcome }])],
      progress: [],
    }, at);
  },
  adapt: ({ rows, at }: State, a: number, b: number) =>
    adaptBatches(rows, [{
      rule: "batched",
      trigger: "b",
      terms: { within: a, max: 3, empty: b % 2 === 0, options: `{"c":${a}}` },
    }], at),
  close({ rows, at }: State, a: number, b: number) {
    const batches = [...rows.all("batch")].map(([id]) => id).sort();
    const { key: _, ...rest } = admissionOf(a, b);
    return closeBatch(rows, { batch: batches[a % batches.length] ?? "none", version: "v1", admission: rest }, at);
  },
  claim: ({ rows, at }: State, a: number) => claimRuns(rows, { owner: a % 2 ? "me" : "other", max: 1 + a }, at),
  record(state: State, a: number, b: number) {
    const effects = [
      {},
      { state: { key: `s${b}`, value: a, ...b % 2 && { ttl: 1_000 } } },
      {
        reply: { status: 200, headers: {}, body: `${a}` },
      },
      { cancels: ["p/x"] },
      { end: { state: "succeeded" as const, output: { a }, spent: 1 } },
    ][b % 5];
    const path = ["a", "b", "p/x", "p/x/y"][a % 4];
    return recordStep(state.rows, { run: pick(state, a), record: step(path, { output: { b } }), effects }, state.at);
  },
  wait(state: State, a: number, b: number) {
    const wait = waitOf(state, a, b);
    const record = step(["a", "w", "p/x"][b % 3], {
      kind: wait.kind,
      state: "waiting",
      startedAt: state.now,
      due: state.now + 7_000,
    });
    return recordStep(state.rows, { run: pick(state, a), record, effects: { wait } }, state.at);
  },
  search({ rows, events, at }: State, a: number, b: number) {
    const searching = rows.range("wait", "searching", "");
    const { run = "nobody", path = "a" } = searching[a % searching.length] ?? {};
    const [key, row] = [...events][b % events.size] ?? [];
    if (searching.length > 0) {
      resolveSearch(rows, { run, path, ...b % 2 && row && { found: { key: key!, event: row.event } } }, at);
    }
  },
  answer(state: State, a: number) {
    const forms = [...state.rows.all("form")].map(([id]) => id).sort();
    const answer = { values: { a }, by: "anna", at: state.now, via: "page" as const };
    return answerForm(state.rows, { form: forms[a % forms.length] ?? "none", answer });
  },
  condition: (state: State, a: number, b: number) =>
    answerCondition(state.rows, {
      run: pick(state, a),
      record: step("if", { kind: "if" }),
      answer: b % 2 ? "yes" : { kind: "condition", reason: "no" },
    }, state.at),
  suspend: (state: State, a: number, b: number) =>
    suspendRun(state.rows, {
      run: pick(state, a),
      suspension: {
        state: b % 2 ? "waiting" : "queued",
        waitingFor: "x",
        spent: b,
        ...b % 3 && { due: state.now + b },
      },
    }, state.at),
  finish: (state: State, a: number, b: number) =>
    finishRun(state.rows, {
      run: pick(state, a),
      end: { state: b % 2 ? "failed" : "succeeded", error, ...b % 3 && { failedStep: "a" }, spent: b },
    }, state.at),
  cancel: (state: State, a: number, b: number) =>
    cancelRun(
      state.rows,
      { run: pick(state, a), reason: "by anna", ...b % 3 && { replica: b % 3 === 1 ? "me" : "third" } },
      state.at,
    ),
  retry({ rows, ended, events, at }: State, a: number) {
    const traces = [...ended.values()];
    const trace = traces[a % traces.length];
    return trace && retryRun(rows, { trace, event: events.get(trace.event), decision: { by: "anna" } }, at);
  },
  replay({ rows, ended, events, at }: State, a: number) {
    const traces = [...ended.values()];
    const trace = traces[a % traces.length];
    const event = trace && events.get(trace.event);
    return event && replayRun(rows, { run: trace.run, event, version: undefined, decision: { by: "anna" } }, at);
  },
  skip: (state: State, a: number) =>
    skipWait(state.rows, { run: pick(state, a), step: undefined, decision: { by: "anna" } }, state.at),
  move(state: State, a: number, b: number) {
    const run = state.rows.get("run", pick(state, a));
    return run && moveRun(state.rows, { run, version: `v${b % 3}`, decision: { by: "anna" } }, state.at);
  },
  reclaim: ({ rows, at }: State) => reclaimRuns(rows, { kept: ["me"] }, at),
  versions: ({ rows }: State, a: number, b: number) =>
    changeVersions(rows, { changed: [rule(`v${a % 3}`), { ...rule("v1"), id: `r${b}` }], gone: [`r${a}`] }),
  dropVersions: ({ rows }: State, a: number) => dropVersions(rows, [`v${a % 3}`]),
  pause: ({ rows }: State, a: number, b: number) =>
    setPaused(rows, { rule: `r${a}`, paused: b % 2 ? "by hand" : null }),
  rollBackClock: ({ rows, at }: State, a: number) => rollBackClock(rows, DAY * a, at),
  prune: ({ rows, at }: State, a: number) => prune(rows, undefined, { ...at, now: at.now + a * 10 * DAY }),
} satisfies Record<string, (state: State, a: number, b: number) => unknown>;

export const operation: fc.Arbitrary<Operation> = fc.record({
  name: fc.oneof(
    fc.constantFrom("accept", "accept", "claim", "wait", "record"),
    fc.constantFrom(...Object.keys(OPERATIONS) as (keyof typeof OPERATIONS)[]),
  ) as fc.Arbitrary<keyof typeof OPERATIONS>,
  a: fc.nat(7),
  b: fc.nat(20),
});

export function execute(state: State, { name, a, b }: Operation): void {
  OPERATIONS[name](state, a, b);
}

const names = Object.keys(TABLES) as TableName[];

/** The content of rows: every table, its indexes and its counts; which of the identities used by operations are known. */
export function dump(rows: Rows, groups = new Map<string, Set<string>>()) {
  const tables = names.map((table) => {
    const { indexes = {}, counts = {} } = TABLES[table];
    const entries = [...rows.all(table)].sort(([a], [b]) => a < b ? -1 : 1);
    const counted = Object.entries(counts).map(([name, groupOf]) => {
      // Groups of earlier rows must be empty.
      const known = groups.get(`${table} ${name}`) ?? new Set<string>();
      groups.set(`${table} ${name}`, known);
      for (const [, row] of entries) known.add((groupOf as (row: unknown) => string | undefined)(row) ?? "");
      return [
        name,
        [...known].map((group) => [group, rows.count(table, name, group)] as const).filter(([, count]) => count !== 0)
          .sort(),
      ];
    });
    const indexed = Object.keys(indexes).map((name) => [name, rows.index(table, name).range("", undefined, Infinity)]);
    return [table, entries, indexed, counted];
  });
  const sources = ["e", "c"].flatMap((kind) => Array.from({ length: 8 }, (_, at) => `${kind}${at}`));
  const identities = sources.map((id) => rows.identities.get(rows.identities.hashOf("/hooks/pay", id)));
  return { tables, identities: identities.map((known) => known && known.at > -Infinity ? known : undefined) };
}

/** New rows with the same content. */
export function rebuilt(rows: Rows): Rows {
  const fresh = new Rows(rows.identities);
  for (const table of names) {
    for (const [key, row] of rows.all(table)) {
      const bytes = Buffer.from(TABLES[table].text ? row as string : toJson(row));
      fresh.load(table, key, { bytes, from: 0, to: bytes.length });
    }
  }
  return fresh;
}

/** Rows as a start reads them from a disk. */
export async function recoverRows(
  disk: FaultyDisk,
  onWarning: (message: string) => void = (message) => {
    throw new Error(message);
  },
) {
  const begin = () => {
    const rows = new Rows();
    const sink: RecoverySink & { rows: Rows } = {
      rows,
      put: (table, key, json) => rows.load(table, unescapeKey(key), json),
      drop: (table, key) => rows.load(table, unescapeKey(key), undefined),
      id: (hash, json) => loadIdentity(rows, hash, json),
      history() {},
    };
    return sink;
  };
  const found = await recover({
    disk,
    folder: FOLDER,
    now: NOW,
    onWarning,
    begin,
    readIds: async (bytes, { rows }) => {
      const packed = new PackedIdentities(await readIds(bytes));
      for (let index = 0; index < packed.count; index++) {
        const { event, at, within, runs, flags } = packed.get(index);
        const hash = Uint32Array.from({ length: 4 }, (_, word) => packed.hashWord(index, word));
        rows.identities.load(hash, event, at, within ?? NaN, runs, flags);
      }
    },
  });
  return { rows: found.sink.rows, seq: found.seq };
}
