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

/** Equal outcomes of a rule in a row fold from this many. */
const LEAST_FOLDED = 3;
/** Runs that are read for one page, so that long folds have an end. */
const MOST_READ = 600;
const READ_AT_ONCE = 150;

/** A row of the page of runs: one run, or several in a row that ended alike, newest first. */
export type RunRow = Run[];

/** A page of rows, and where the next one begins. */
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

/** Runs that fit, newest first, folded unless they are filtered by state: then each is wanted. */
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

/** Folds runs of one rule in a row that succeeded, or were cancelled; never failures, nor what is still live. */
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
