import { isFinal, type Run, RUN_STATES, type RunState } from "../../model/run.ts";
import type { RunHead, RunSearch, Store } from "../../store/store.ts";
import { type Filter, type Filters, type Found, MOST_PARTS, ROWS, TIME_FILTERS } from "./lists.ts";
import type { Times } from "./times.ts";

export const RUN_FILTERS = [
  { name: "rule", label: "Rule" },
  { name: "state", label: "State", choices: RUN_STATES },
  { name: "subject", label: "Subject" },
  ...TIME_FILTERS,
] as const satisfies Filter[];

export type RunFilters = Filters<typeof RUN_FILTERS[number]["name"]>;

/** This many equal outcomes of a rule in a row are folded. */
const LEAST_FOLDED = 3;
/** The most runs that are read for one page: a longer fold continues on the next page. */
const MOST_READ = 600;
const READ_AT_ONCE = 150;

/** A row of the page of runs: one run, or several consecutive ones with the same outcome. */
export interface RunRow {
  newest: Run;
  /** All runs of the row, newest first. */
  runs: RunHead[];
  /** Whether the row may continue on the next page. */
  isCut?: true;
}

export function runSearch({ state, from, to, ...rest }: RunFilters, times: Times): Omit<RunSearch, "limit"> {
  return { ...rest, ...times.range(from, to), state: state as RunState | undefined, parts: MOST_PARTS };
}

/** Matching runs, newest first. They are folded unless they are filtered by state. */
export async function findRunRows(
  store: Pick<Store, "searchRuns" | "searchRunHeads">,
  set: RunFilters,
  times: Times,
  before?: string,
): Promise<Found<RunRow>> {
  const { rows, isCut, ...page } = await findFolds(store, set, times, before);
  const asked = rows.map(([{ id }]) => id);
  const { rows: found } = await store.searchRuns({ ids: asked, limit: asked.length });
  const runs = new Map(found.map((run) => [run.id, run]));
  return {
    ...page,
    rows: rows.flatMap((row, at): RunRow[] => {
      const newest = runs.get(row[0].id);
      // Retention may have removed it meanwhile.
      return newest === undefined ? [] : [{ newest, runs: row, ...isCut && at === rows.length - 1 && { isCut } }];
    }),
  };
}

async function findFolds(
  store: Pick<Store, "searchRunHeads">,
  set: RunFilters,
  times: Times,
  before?: string,
): Promise<Found<RunHead[]> & { isCut?: true }> {
  const search = runSearch(set, times);
  const isFolded = set.state === undefined;
  const runs: RunHead[] = [];
  // Runs of one rule fold into few rows, so a page needs many of them.
  const atOnce = !isFolded ? ROWS + 1 : set.rule === undefined ? READ_AT_ONCE : MOST_READ;
  for (;;) {
    const limit = Math.min(atOnce, isFolded ? MOST_READ - runs.length : atOnce);
    const found = await store.searchRunHeads({ ...search, before: runs.at(-1)?.id ?? before, limit });
    runs.push(...found.rows);
    const rows = isFolded ? fold(runs) : runs.map((run) => [run]);
    // The last row may continue, so a page is full with one row more.
    if (rows.length > ROWS) return { rows: rows.slice(0, ROWS), next: lastOf(rows.slice(0, ROWS)), isPartial: false };
    if (found.stoppedAt !== undefined) return { rows, next: found.stoppedAt, isPartial: true };
    if (found.rows.length < limit) return { rows, isPartial: false };
    if (runs.length >= MOST_READ) return { rows, next: lastOf(rows), isPartial: false, isCut: true };
  }
}

function lastOf(rows: RunHead[][]): string {
  return rows.at(-1)!.at(-1)!.id;
}

/** Folds consecutive runs of one rule that succeeded, or were cancelled; never failed or live ones. */
export function fold(runs: RunHead[]): RunHead[][] {
  const rows: RunHead[][] = [];
  for (const run of runs) {
    const last = rows.at(-1);
    if (last !== undefined && mayFold(run) && last[0].rule === run.rule && last[0].state === run.state) last.push(run);
    else rows.push([run]);
  }
  return rows.flatMap((row) => row.length < LEAST_FOLDED ? row.map((run) => [run]) : [row]);
}

function mayFold({ state }: RunHead): boolean {
  return isFinal(state) && state !== "failed";
}
