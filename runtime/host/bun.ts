/** The part of Bun that is used here; Bun's own types would conflict with Deno's. */
export interface BunHost {
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    maxRequestBodySize: number;
    fetch(request: Request, server: BunServer): Promise<Response>;
  }): BunServer;
  /** Collects garbage: all of it if `force`, else the young objects. */
  gc(force: boolean): void;
  unsafe: {
    /** How many times as often as usual code runs before it is compiled to machine code, in this thread. */
    setJITPolicy(scale: number): void;
  };
}

interface BunServer {
  port: number;
  requestIP(request: Request): { address: string } | null;
  stop(closeActive: boolean): Promise<void>;
}

/** Bun, if this is the binary; undefined on Deno. */
export const bun = (globalThis as { Bun?: BunHost }).Bun;
