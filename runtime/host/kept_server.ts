import { type Handler, serve, type ServeOptions, type Server } from "./serve.ts";

/** A server that goes on listening between two programs in this process, so that requests are refused with 503 meanwhile. */
export class KeptServer {
  #kept: { server: Server; place: ServeOptions } | undefined;

  /**
   * Takes over a server from a program that ends. Requests in progress have so many milliseconds to finish.
   * @param place the address that it was started with
   */
  async keep(server: Server, place: ServeOptions, graceMs: number): Promise<void> {
    this.#kept = { server, place };
    await server.pause(graceMs);
  }

  /** As {@link serve}, with the server that was kept if it listens there. */
  async serve(handler: Handler, place: ServeOptions): Promise<Server> {
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept?.place.host !== place.host || kept.place.port !== place.port) {
      await kept?.server.stop(0);
      return serve(handler, place);
    }
    kept.server.resume(handler);
    return kept.server;
  }

  /** Stops the server that was kept, as no other program follows. */
  async close(): Promise<void> {
    await this.#kept?.server.stop(0);
    this.#kept = undefined;
  }
}
