import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, messageOf, UsageError } from "../model/errors.ts";
import { bun, type BunHost } from "./bun.ts";

/** The address to listen on. */
export interface ServeOptions {
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
  /** As {@link stop}, but it goes on listening, and refuses requests until {@link resume}. Connections stay open. */
  pause(graceMs: number): Promise<void>;
  /** From now on another handler answers. */
  resume(handler: Handler): void;
}

/** Milliseconds for the last responses: the hosts report a response as sent when it is buffered, not when it is transmitted. */
const LINGER = 50;

/** @param address returns the IP address of the client while the request is in progress */
export type Handler = (request: Request, address: () => string) => Response | Promise<Response>;

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
      await flight.close("The program is stopping", graceMs);
      await listener.abort();
    },
    pause: (graceMs) => flight.close("The program begins anew", graceMs),
    resume: (handler) => flight.resume(handler),
  };
}

/** The requests in progress. */
class Flight {
  #underWay = 0;
  /** Why new requests are refused. */
  #refusal: string | undefined;
  #landed = Promise.withResolvers<void>();

  constructor(private handler: Handler) {}

  /** Refuses new requests. Resolves when all others are answered, or the time is over. */
  async close(refusal: string, graceMs: number): Promise<void> {
    this.#refusal = refusal;
    if (this.#underWay === 0) this.#landed.resolve();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const grace = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
    await Promise.race([this.#landed.promise.then(() => sleep(LINGER)), grace]);
    clearTimeout(timer);
  }

  resume(handler: Handler): void {
    this.handler = handler;
    this.#refusal = undefined;
    this.#landed = Promise.withResolvers();
  }

  /** Must be followed by {@link sent}. */
  handle(request: Request, address: () => string): Response | Promise<Response> {
    this.#underWay++;
    if (this.#refusal !== undefined) {
      const headers = { "retry-after": "5", connection: "close" };
      return Response.json({ error: this.#refusal }, { status: 503, headers });
    }
    return this.handler(request, address);
  }

  /** Called when the response is buffered, or the connection has closed. */
  sent(): void {
    this.#underWay--;
    if (this.#refusal !== undefined && this.#underWay === 0) this.#landed.resolve();
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
