import { access } from "node:fs/promises";
import { join } from "node:path";
import { logWarning } from "../../runtime/engine/run_log.ts";
import { writeExactJson } from "../../runtime/formats/exact_json.ts";
import { setOnPages } from "../../runtime/folder/settings/config_layers.ts";
import { acquireLock } from "../../runtime/host/lock.ts";
import { UPPER_LAYERS, type UpperValue } from "../../runtime/model/config.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import type { Run } from "../../runtime/model/run.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { EventRecord } from "../../runtime/store/store.ts";
import type { Past } from "../../runtime/testing/recorded.ts";
import type { ConfigListing, RunAnswer } from "../../runtime/web/config_api.ts";
import { type Client, clientOfRunning, pathOf, RefusedError } from "./client.ts";

/** The past of a data folder. */
export interface OpenPast extends Past {
  /** Whether something in the events was masked: a running program shows no secrets. */
  hidSecrets(): boolean;
  /** Newest first. */
  runs(page: { before: string; limit: number }): Promise<Run[]>;
  close(): Promise<void>;
}

/**
 * Opens the past of the program that is running on a data folder. If none is, reads the folder, and changes nothing in it.
 * @throws UsageError if nothing has run there, or another program holds the lock but does not answer
 */
export async function openPast(data: string, now: number): Promise<OpenPast> {
  const running = await clientOfRunning(data);
  return running ? pastOf(running) : await readPast(data, now);
}

function pastOf({ get }: Client): OpenPast {
  let hid = false;
  return {
    isMasked: true,
    hidSecrets: () => hid,
    async events({ limit, before, from, id }) {
      const since = from === undefined ? undefined : new Date(from).toISOString();
      const records = await get<EventRecord[]>("/api/events", { limit: String(limit), before, from: since, id });
      hid ||= records.some(({ event }) => writeExactJson(event.data).includes("***"));
      return records;
    },
    runs: ({ before, limit }) => get<Run[]>("/api/runs", { before, limit: String(limit) }),
    run: (id) => orAbsent(get<RunAnswer>(`/api/runs/${encodeURIComponent(id)}`)),
    async config(rule) {
      const listing = await orAbsent(get<ConfigListing[]>(`/api/rules/${pathOf(rule)}/config`)) ?? [];
      return listing.flatMap(({ key, value, from, by, at }): UpperValue[] => {
        const layer = UPPER_LAYERS.find((each) => each === from);
        return layer === undefined ? [] : [{ rule, key, value: { is: value }, from: layer, by, at }];
      });
    },
    close: () => Promise.resolve(),
  };
}

async function orAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof RefusedError) return undefined;
    throw error;
  }
}

/** The lock keeps a program from starting meanwhile; taking it leaves its file as it is. */
async function readPast(data: string, now: number): Promise<OpenPast> {
  await access(join(data, "lock")).catch(() => {
    throw new UsageError(`Nothing has run in the data folder ${data} yet; name another with --data`);
  });
  const lock = acquireLock(data);
  if (lock === undefined) {
    throw new UsageError(`Cannot read the data folder ${data}: another whenthen is running on it and does not answer`);
  }
  try {
    const store = await openStore({ folder: data, readOnly: true, onWarning: logWarning, now });
    return {
      isMasked: false,
      hidSecrets: () => false,
      events: (search) => store.listEvents(search),
      runs: (page) => store.listRuns(page),
      run: (id) => store.getRun(id),
      config: async (rule) => [
        ...(await store.getSourced()).filter((value) => value.rule === rule),
        ...setOnPages(await store.listConfig(rule)),
      ],
      async close() {
        await store.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}
