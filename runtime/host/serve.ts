import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, messageOf, UsageError } from "../model/errors.ts";
import { bun, type BunHost } from "./bun.ts";

/** The address to listen on. */
interface ServeOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
}

/** A listening server. */
export interface Server {
  /** The URL by which this machine reaches the server: `http://127.0.0.1:8080`. */
  url: string;
  port: number;
  /**
   * Refuses new requests at once (503), lets requests in progress finish for up to `graceMs`, then aborts all connections: a
   * half-sent request does not delay the exit.
   */
  stop(graceMs: number): Promise<void>;
}

/** Milliseconds for the last responses: the hosts report a response as sent when it is buffered, not when it is transmitted. */
const LINGER = 50;

/** @param address returns the IP address of the client while the request is in progress */
type Handler = (request: Request, address: () => string) => Response | Promise<Response>;

/**
 * Serves HTTP with the host's own server.
 * @throws UsageError if it cannot listen on the address
 */
export function serve(handler: Handler, options: ServeOptions): Server {
  const flight = new Flight(handler);
  const listener = listen(flight, options);
  const { port } = listener;
  return {
    url: addressOf(options.host, port),
    port,
    async stop(graceMs) {
      flight.close();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const grace = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
      await Promise.race([flight.landed.then(() => sleep(LINGER)), grace]);
      clearTimeout(timer);
      await listener.abort();
    },
  };
}

/** The requests in progress. */
class Flight {
  #underWay = 0;
  #closed = false;
  readonly #landed = Promise.withResolvers<void>();

  constructor(private readonly handler: Handler) {}

  close(): void {
    this.#closed = true;
    if (this.#underWay === 0) this.#landed.resolve();
  }

  /** Must be followed by {@link sent}. */
  handle(request: Request, address: () => string): Response | Promise<Response> {
    this.#underWay++;
    if (this.#closed) {
      const headers = { "retry-after": "5", connection: "close" };
      return Response.json({ error: "The program is stopping" }, { status: 503, headers });
    }
    return this.handler(request, address);
  }

  /** Called when the response is buffered, or the connection has closed. */
  sent(): void {
    this.#underWay--;
    if (this.#closed && this.#underWay === 0) this.#landed.resolve();
  }

  /** Resolves when it is closed and all responses are buffered. */
  get landed(): Promise<void> {
    return this.#landed.promise;
  }
}

interface Listener {
  port: number;
  abort(): Promise<void>;
}

function listen(flight: Flight, options: ServeOptions): Listener {
  try {
    return bun === undefined ? listenOnDeno(flight, options) : listenOnBun(bun, flight, options);
  } catch (error) {
    const { host, port } = options;
    const isInUse = codeOf(error) === "EADDRINUSE" || error instanceof Error && error.name === "AddrInUse";
    const why = isInUse ? "the port is in use" : messageOf(error);
    throw new UsageError(`Cannot listen on ${host}:${port}: ${why}; choose another with --port`, { cause: error });
  }
}

function listenOnDeno(flight: Flight, { host, port }: ServeOptions): Listener {
  // Not server.shutdown(): it waits for half-sent requests for ever, and aborting after it throws.
  const stop = new AbortController();
  const server = Deno.serve(
    { hostname: host, port, signal: stop.signal, onListen() {} },
    (request, info) => {
      info.completed.catch(() => {}).finally(() => flight.sent());
      return flight.handle(request, () => info.remoteAddr.hostname);
    },
  );
  return {
    port: server.addr.port,
    abort() {
      stop.abort();
      return server.finished;
    },
  };
}

function listenOnBun(bun: BunHost, flight: Flight, { host, port }: ServeOptions): Listener {
  const server = bun.serve({
    hostname: host,
    port,
    idleTimeout: 60,
    // Each path has its own limit. Bun's is 128 MB, and its answer says nothing.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: async (request, server) => {
      try {
        return await flight.handle(request, () => server.requestIP(request)?.address ?? "");
      } finally {
        flight.sent();
      }
    },
  });
  return { port: server.port, abort: () => server.stop(true) };
}

/** The URL by which this machine reaches a server. Nobody can connect to a wildcard address. */
export function addressOf(host: string, port: number): string {
  return `http://${reachable(host)}:${port}`;
}

function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
