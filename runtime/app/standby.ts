import { hostname } from "node:os";
import { pid } from "node:process";
import { type OpenDatabase, openDatabase } from "../database/open_database.ts";
import { shownUrl } from "../database/connection.ts";
import { serve, type Server } from "../host/serve.ts";
import { logLine } from "../host/log_line.ts";
import { UsageError } from "../model/errors.ts";

/** How to open a database that another program may work on. */
export interface StandbyOptions {
  url: string;
  /** Where to answer meanwhile. */
  host: string;
  port: number;
  /** Waits until the other program ends, or this is aborted. Absent: does not wait. */
  standby?: AbortSignal;
}

/** A database that is open, while requests are still refused. */
export interface Standby {
  database: OpenDatabase;
  /** Stops to refuse requests: the program itself answers from now on, or it ends. */
  stop(): Promise<void>;
}

/**
 * Opens a database. While another program works on it, and until {@link Standby.stop}, this one answers every request with 503.
 * @throws UsageError if it cannot be used, or is in use and this one is not to wait; the reason of `standby`
 */
export async function openDatabaseWhenFree({ url, host, port, standby }: StandbyOptions): Promise<Standby> {
  const server: Server | undefined = standby && serve(refuse, { host, port });
  const stop = async () => void await server?.stop(0);
  let isTold = false;
  const onHeld = (isAlive: boolean) => {
    if (standby !== undefined) {
      if (!isTold) logLine("info", `${BUSY}: ${shownUrl(url)}`, {});
      isTold = true;
    } else if (isAlive) {
      const remedy = "use its pages or its API, or give the command on its machine";
      throw new UsageError(`Cannot use the database ${shownUrl(url)}: a whenthen works on it, elsewhere; ${remedy}`);
    }
  };
  let database: OpenDatabase | undefined;
  try {
    database = await openDatabase(url, { info: { name: hostname(), pid, version: "", address: null } });
    await database.decide(standby, onHeld);
    return { database, stop };
  } catch (error) {
    await database?.close();
    await stop();
    throw error;
  }
}

const BUSY = "Another whenthen works on the database; this one takes over when that one ends";

/** It is alive, and not ready. */
function refuse(request: Request): Response {
  if (new URL(request.url).pathname === "/healthz") return new Response("ok\n");
  const error = "this whenthen stands by, or reads the database: it answers when no other one works on that";
  return Response.json({ error }, { status: 503, headers: { "retry-after": "1" } });
}
