import type { Clock } from "../host/clock.ts";
import { hostname } from "node:os";
import { env as environment, pid } from "node:process";
import type { OpenDatabase } from "../database/open_database.ts";
import { logWarning } from "../engine/run_log.ts";
import { Secrets } from "../secrets/secrets.ts";
import { App } from "./app.ts";
import type { AppOptions } from "./app_options.ts";
import { openDataFolder } from "./data_folder.ts";
import { sharedClock } from "./shared_clock.ts";
import { type Ports, SYSTEM_PORTS } from "./wire.ts";

/**
 * Opens the data folder and wires the parts together; nothing starts before `start` or `once`.
 * @throws UsageError if another program holds the data folder, or it has the state of other rules
 */
export async function openApp(options: AppOptions, { clock, disk }: Ports = SYSTEM_PORTS): Promise<App> {
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const { folder, moved, version } = options;
  const database = options.database === undefined ? undefined : await openDatabaseFor(options.database, version, clock);
  const path = database?.path ?? options.data;
  const own = database === undefined ? clock : sharedClock(clock, () => database.members.clockOffset, logCorrection);
  try {
    const rules = { folder, moved };
    const shared = database && { database };
    const dataFolder = await openDataFolder({ path, rules, clock: own, disk, onWarning: logWarning, ...shared });
    return new App({ ...options, data: path }, own, secrets, dataFolder);
  } catch (error) {
    await database?.close();
    throw error;
  }
}

function logCorrection(by: number): void {
  const seconds = (Math.abs(by) / 1_000).toFixed(1);
  logWarning(
    `The clock of this machine is ${seconds} s ${by > 0 ? "behind" : "ahead of"} that of the database, which counts`,
  );
}

/** Opens the database that the state is in. Loads the code for that only here. */
export async function openDatabaseFor(url: string, version: string, clock: Clock): Promise<OpenDatabase> {
  const { openDatabase } = await import("../database/open_database.ts");
  return await openDatabase(url, {
    info: { name: hostname(), pid, version, address: null, rules: null },
    now: () => clock.now(),
  });
}
