import { gzipSync } from "node:zlib";
import type { Server } from "./server.ts";

const PASSWORD = "correct horse battery";

/** One page that was opened. */
export interface Visit {
  text: string;
  /** Milliseconds from the request to its last byte. */
  ms: number;
  /** Its size gzipped. */
  kB: number;
  /** Elements of its HTML. */
  elements: number;
}

/** A page that stays live. */
export interface LivePage {
  /** Patches that came. */
  readonly patches: number;
  close(): Promise<void>;
}

/** A person who is signed in to the console, with a session of their own. */
export class Operator {
  private constructor(private readonly server: Server, private readonly cookie: string) {}

  /** @throws Error if name or password are refused */
  static async signIn(server: Server, name: string): Promise<Operator> {
    const response = await fetch(`${server.url}/forms/sign-in`, {
      method: "POST",
      headers: { origin: server.url },
      body: new URLSearchParams({ name, password: PASSWORD }),
      redirect: "manual",
    });
    await response.body?.cancel();
    if (response.status !== 303) throw new Error(`${name} cannot sign in: ${response.status}`);
    const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(";")[0]);
    return new Operator(server, cookies.join("; "));
  }

  /** Opens a page. */
  async open(path: string): Promise<Visit> {
    const began = performance.now();
    const response = await this.#get(path);
    const text = await response.text();
    const ms = performance.now() - began;
    return { text, ms, kB: gzipSync(text).length / 1_024, elements: text.match(/<[a-z]/g)?.length ?? 0 };
  }

  /** Opens a page and the stream with which it stays live. */
  async watch(path: string): Promise<LivePage> {
    const { text } = await this.open(path);
    const [, stream] = /hx-sse:connect="([^"]+)"/.exec(text) ?? [];
    if (stream === undefined) throw new Error(`${path} is not live`);
    const reader = (await this.#get(stream.replaceAll("&amp;", "&"))).body!.getReader();
    const page = { patches: 0, close: () => reader.cancel() };
    const read = async () => {
      const decoder = new TextDecoder();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (decoder.decode(part.value, { stream: true }).includes("hx-partial")) page.patches++;
      }
    };
    void read();
    return page;
  }

  async #get(path: string): Promise<Response> {
    const headers = { cookie: this.cookie, accept: "text/html" };
    const response = await fetch(this.server.url + path, { headers });
    if (!response.ok) throw new Error(`${path} answers ${response.status}: ${(await response.text()).slice(0, 200)}`);
    return response;
  }
}
