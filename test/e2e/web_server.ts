import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { TIMEOUT } from "./until.ts";

/** A request that a {@link WebServer} got. */
export interface Seen {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

export type Answer = (seen: Seen, response: ServerResponse, count: number) => void;

/** A real server on a free port of the loopback; records requests, answers as configured, ends with `await using`. */
export class WebServer implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly #waiting = new Set<() => void>();
  // A request that breaks off, as of a killed program, does not count.
  readonly #server = createServer((request, response) => void this.#handle(request, response).catch(() => {}));
  #answer: Answer;

  private constructor(answer: Answer) {
    this.#answer = answer;
  }

  static async start(answer: Answer = (_, response) => response.end("{}")): Promise<WebServer> {
    const server = new WebServer(answer);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Changes the answers from here on. */
  answer(answer: Answer): void {
    this.#answer = answer;
  }

  /** Waits until it has received `count` matching requests in all. */
  waitFor(count: number, matches: (seen: Seen) => boolean = () => true, timeout = TIMEOUT): Promise<Seen[]> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.seen.filter(matches);
        if (found.length < count) return;
        this.#waiting.delete(look);
        clearTimeout(timer);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`${count} requests expected, got ${JSON.stringify(this.seen, null, 2)}`));
      }, timeout);
      this.#waiting.add(look);
      look();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const body = new TextDecoder().decode(await new Blob(chunks as BlobPart[]).arrayBuffer());
    const seen = { method: request.method!, path: request.url!, headers, body };
    this.seen.push(seen);
    this.#answer(seen, response, this.seen.length);
    this.#waiting.forEach((look) => look());
  }
}
