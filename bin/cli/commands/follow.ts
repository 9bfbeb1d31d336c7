import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { FolderHeldError } from "../../../runtime/app/data_folder.ts";
import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import { isFinal, type Run } from "../../../runtime/model/run.ts";
import { MOST_IDS } from "../../../runtime/web/api.ts";
import { type Client, clientOfRunning, openClient, RefusedError } from "../client.ts";
import { foldersInUse } from "../folders.ts";
import { printRunLines } from "../print/listings.ts";
import type { CommonOptions, Session } from "../session.ts";
import { StopSignal } from "../signals.ts";
import { startLog } from "../start_log.ts";

/** Which runs to follow, as the API takes it. */
type Query = Record<"rule" | "subject" | "state" | "from" | "limit", string | undefined>;

/** Milliseconds between two looks. */
const PAUSE = 1_000;
/** How many runs that have not ended are watched, and how many that have: an operator may resume these. */
const WATCHED = { live: 1_000, ended: 100 };
/** The most runs that the API answers at once. */
const PAGE = 1_000;

/**
 * Prints the last runs, then each run again whenever it has changed, until the program is interrupted or nobody reads any more. Asks
 * the running program. While none runs, it looks at the store after another command has changed it, and leaves it free meanwhile.
 */
export async function follow(session: Session, options: CommonOptions, query: Query): Promise<void> {
  const folders = { ...await foldersInUse(options), env: options.env };
  await startLog(options.log, "warning");
  const followed = new FollowedRuns(query);
  using signal = new StopSignal();
  let isEnded = false;
  const end = Promise.race([signal.received, ...session.terminal.failed ? [session.terminal.failed] : []])
    .then(() => void (isEnded = true));
  let seen: string | undefined;
  while (!isEnded) {
    const running = await clientOfRunning(folders.data);
    if (running === undefined && folders.database !== undefined) {
      throw new UsageError("Cannot follow the runs in a database: no whenthen that uses it is running on this machine");
    }
    if (running !== undefined || await stateOf(folders.data) !== seen) {
      const client = running ?? await openFree(() => openClient(folders, session.ports, "store"));
      try {
        if (client !== undefined) write(session, options, await followed.look(client));
      } catch (error) {
        // The program stops, which the next look finds.
        if (running === undefined || error instanceof RefusedError) throw error;
      } finally {
        await client?.close();
      }
      // A program that ends has changed the store; a look that opens the store changes it, too.
      seen = running === undefined && client !== undefined ? await stateOf(folders.data) : undefined;
    }
    await Promise.race([end, new Promise((resolve) => setTimeout(resolve, PAUSE))]);
  }
}

function write({ terminal, ports }: Session, { json }: CommonOptions, runs: Run[]): void {
  if (!json) return printRunLines({ ...terminal, now: ports.clock.now() }, runs);
  for (const run of runs) terminal.write(writeExactJson(run) + "\n");
}

/** Opens a client; undefined while another command holds the data folder. */
async function openFree(open: () => Promise<Client>): Promise<Client | undefined> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof FolderHeldError) return undefined;
    throw error;
  }
}

/** Names and sizes of the files of the store. Each change is appended to one of them, but an open writes nothing. */
async function stateOf(data: string): Promise<string> {
  const names = (await readdir(data)).filter((name) => /^(log|delta|base|part)-/.test(name)).sort();
  const facts = await Promise.all(names.map((name) => stat(join(data, name)).catch(() => undefined)));
  return facts.map((each, index) => `${names[index]} ${each?.size}`).join("\n");
}

/** Runs as they were last seen. */
export class FollowedRuns {
  /** What was seen of each run, by id. */
  readonly #seen = new Map<string, { isFinal: boolean; text: string }>();
  #newest: string | undefined;

  constructor(private readonly query: Query) {}

  /** The runs that have changed since the last look, oldest first; at the first look the last runs of the listing. */
  async look(client: Pick<Client, "get">): Promise<Run[]> {
    const changed = this.#newest === undefined ? await this.#first(client) : await this.#changed(client);
    this.#forget();
    return changed.sort((a, b) => a.id < b.id ? -1 : 1);
  }

  async #first(client: Pick<Client, "get">): Promise<Run[]> {
    const { state: _, limit: _limit, ...filter } = this.query;
    const [newest] = await client.get<Run[]>("/api/runs", { limit: "1" });
    const live = ["queued", "running", "waiting"].map((state) =>
      client.get<Run[]>("/api/runs", { ...filter, state, limit: String(WATCHED.live) })
    );
    for (const run of (await Promise.all(live)).flat()) this.#note(run);
    const last = await client.get<Run[]>("/api/runs", this.query);
    for (const run of last) this.#note(run);
    this.#newest = [newest, ...last].reduce((most, run) => run?.id > most ? run.id : most, "");
    return last;
  }

  async #changed(client: Pick<Client, "get">): Promise<Run[]> {
    const { state, limit: _, ...filter } = this.query;
    const ids = [...this.#seen.keys()];
    const fresh = await this.#since(client, filter);
    for (let at = 0; at < ids.length; at += MOST_IDS) {
      fresh.push(...await client.get<Run[]>("/api/runs", { ids: ids.slice(at, at + MOST_IDS).join(",") }));
    }
    const changed = new Map(fresh.filter((run) => this.#note(run)).map((run) => [run.id, run]));
    return [...changed.values()].filter((run) => state === undefined || run.state === state);
  }

  /** All runs that are newer than the newest one at the last look. */
  async #since(client: Pick<Client, "get">, filter: Partial<Query>): Promise<Run[]> {
    const after = this.#newest;
    const runs: Run[] = [];
    for (let before: string | undefined;; before = runs.at(-1)!.id) {
      const page = await client.get<Run[]>("/api/runs", { ...filter, after, before, limit: String(PAGE) });
      runs.push(...page);
      if (page.length < PAGE) break;
    }
    if (runs.length > 0) this.#newest = runs[0].id;
    return runs;
  }

  /** Whether a run differs from what was last seen of it. */
  #note({ id, state, waitingFor, startedAt, endedAt }: Run): boolean {
    const text = JSON.stringify([state, waitingFor, state === "running" ? startedAt : endedAt]);
    const isNew = this.#seen.get(id)?.text !== text;
    this.#seen.set(id, { isFinal: isFinal(state), text });
    return isNew;
  }

  /** Forgets the oldest runs beyond those that are watched. */
  #forget(): void {
    const left = { ...WATCHED };
    for (const id of [...this.#seen.keys()].sort().reverse()) {
      if (left[this.#seen.get(id)!.isFinal ? "ended" : "live"]-- <= 0) this.#seen.delete(id);
    }
  }
}
