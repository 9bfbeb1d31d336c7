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

const BUSY = "another whenthen works on this database; this one takes over when that one ends";

/**
 * Opens a database. While another program works on it, this one stands by: it answers every request with 503.
 * @throws UsageError if it cannot be used, or is in use and this one is not to wait; the reason of `standby`
 */
export async function openDatabaseWhenFree({ url, host, port, standby }: StandbyOptions): Promise<OpenDatabase> {
  let server: Server | undefined;
  const onHeld = (isAlive: boolean) => {
    if (standby === undefined) {
      if (!isAlive) return;
      const remedy = "use its pages or its API, or give the command on its machine";
      throw new UsageError(`Cannot use the database ${shownUrl(url)}: a whenthen works on it, elsewhere; ${remedy}`);
    }
    if (server !== undefined) return;
    server = serve(refuse, { host, port });
    logLine(
      "info",
      `Another whenthen works on the database ${shownUrl(url)}; this one takes over when that one ends`,
      {},
    );
  };
  try {
    return await openDatabase(url, { onHeld, ...standby && { signal: standby } });
  } finally {
    await server?.stop(0);
  }
}

/** It is alive, and not ready. */
function refuse(request: Request): Response {
  if (new URL(request.url).pathname === "/healthz") return new Response("ok\n");
  return Response.json({ error: BUSY }, { status: 503, headers: { "retry-after": "1" } });
}
