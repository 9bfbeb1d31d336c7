import { isFinal, type Run, RUN_STATES, type RunState } from "../../model/run.ts";
import type { RunSearch, Store } from "../../store/store.ts";
import { type Filter, type Filters, MOST_PARTS, ROWS } from "./lists.ts";
import type { Times } from "./times.ts";

export const RUN_FILTERS = [
  { name: "rule", label: "Rule" },
  { name: "state", label: "State", choices: RUN_STATES },
  { name: "subject", label: "Subject" },
  { name: "from", label: "From", placeholder: "2h or 09:00" },
  { name: "to", label: "To", placeholder: "2026-11-30" },
] as const satisfies Filter[];

export type RunFilters = Filters<typeof RUN_FILTERS[number]["name"]>;

/** This many equal outcomes of a rule in a row are folded. */
const LEAST_FOLDED = 3;
/** The most runs that are read for one page, which limits long folds. */
const MOST_READ = 600;
const READ_AT_ONCE = 150;

/** A row of the page of runs: one run, or several consecutive ones with the same outcome, newest first. */
export type RunRow = Run[];

/** A page of rows, and the cursor of the next page. */
export interface RunPage {
  rows: RunRow[];
  /** The cursor of the next page; undefined on the last one. */
  next?: string;
  /** Whether the search ended before the page was full; it continues at `next`. */
  isPartial: boolean;
}

export function runSearch({ state, from, to, ...rest }: RunFilters, times: Times): Omit<RunSearch, "limit"> {
  return { ...rest, ...times.range(from, to), state: state as RunState | undefined, parts: MOST_PARTS };
}

/** Matching runs, newest first. They are folded unless they are filtered by state. */
export async function findRunRows(
  store: Pick<Store, "searchRuns">,
  set: RunFilters,
  times: Times,
  before?: string,
): Promise<RunPage> {
  const search = runSearch(set, times);
  const isFolded = set.state === undefined;
  const runs: Run[] = [];
  for (;;) {
    const limit = isFolded ? READ_AT_ONCE : ROWS + 1;
    const found = await store.searchRuns({ ...search, before: runs.at(-1)?.id ?? before, limit });
    runs.push(...found.rows);
    const rows = isFolded ? fold(runs) : runs.map((run) => [run]);
    // The last row may continue, so a page is full with one row more.
    if (rows.length > ROWS) return { rows: rows.slice(0, ROWS), next: lastOf(rows.slice(0, ROWS)), isPartial: false };
    if (found.stoppedAt !== undefined) return { rows, next: found.stoppedAt, isPartial: true };
    if (found.rows.length < limit) return { rows, isPartial: false };
    if (runs.length >= MOST_READ) return { rows, next: lastOf(rows), isPartial: false };
  }
}

function lastOf(rows: RunRow[]): string {
  return rows.at(-1)!.at(-1)!.id;
}

/** Folds consecutive runs of one rule that succeeded, or were cancelled; never failed or live ones. */
export function fold(runs: Run[]): RunRow[] {
  const rows: RunRow[] = [];
  for (const run of runs) {
    const last = rows.at(-1);
    if (last !== undefined && mayFold(run) && last[0].rule === run.rule && last[0].state === run.state) last.push(run);
    else rows.push([run]);
  }
  return rows.flatMap((row) => row.length < LEAST_FOLDED ? row.map((run) => [run]) : [row]);
}

function mayFold({ state }: Run): boolean {
  return isFinal(state) && state !== "failed";
}
