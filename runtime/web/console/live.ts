import type { Context, Hono } from "hono";
import type { WebContext } from "../context.ts";
import { type Markup, markup, maskShown } from "./markup.ts";
import type { ConsoleEnv } from "./viewer.ts";

/** What has changed on a page: parts to replace, never rows. */
export interface LiveChange {
  parts: Markup[];
  /** Set if later looks cannot find anything new. */
  isLast?: boolean;
}

/** Checks for changes. Each stream has its own, so it may keep state between calls. */
export type Look = () => Promise<LiveChange>;

/** The pages that can be live: each makes its look from the parameters of the request. */
export type LivePages = Record<string, (c: Context<ConsoleEnv>, context: WebContext) => Look>;

/** The least milliseconds between two looks of a stream: at most two patches a second. */
const INTERVAL = 500;
/** Looks take at most this share of the program's time, however many streams are open. */
const SHARE = 0.02;
const BEAT = 25_000;
const MOST_STREAMS = 4;
/** After this the browser reconnects, which authenticates the viewer again. */
const LIFE = 600_000;

/** `/live?page=…`: what changes on a page, as server-sent events. */
export function addLive(app: Hono<ConsoleEnv>, context: WebContext, pages: LivePages): void {
  const streams = new Streams(context);
  app.get("/live", (c) => {
    const name = c.req.query("page") ?? "";
    if (!Object.hasOwn(pages, name)) return c.json({ error: "There is no such live page" }, 404);
    const { owner = "" } = c.get("viewer");
    if (streams.countOf(owner) >= MOST_STREAMS) {
      return c.json({ error: `At most ${MOST_STREAMS} pages of a session are live at once` }, 429);
    }
    return streams.open(owner, pages[name](c, context));
  });
}

/** In the head of a page: whether it is live. @param path of its stream; false if the page is not live, as later pages of a list */
export function liveMark(path: string | false): Markup | false {
  return path !== false && markup`<span id="live" class="live" role="status" hx-sse:connect="${path}"></span>`;
}

/** The element of a list that shows how many newer rows there are. */
export function newerMark(): Markup {
  return markup`<span id="newer" class="newer" role="status"></span>`;
}

/** Newer rows that are counted; more are "99+". */
export const MOST_NEWER = 100;

/** The number of newer rows. @param path of the list's first page */
export function newerPart(path: string, count: number): Markup {
  const text = count >= MOST_NEWER ? `${MOST_NEWER - 1}+ newer` : `${count} newer`;
  return part("newer", count > 0 ? markup`<a href="${path}">${text}</a>` : markup``);
}

/** New content of an element. The focus is kept. */
export function part(id: string, content: Markup | string): Markup {
  return markup`<hx-partial hx-target="#${id}" hx-swap="innerMorph">${content}</hx-partial>`;
}

interface Stream {
  owner: string;
  look: Look;
  controller: ReadableStreamDefaultController<Uint8Array>;
  openedAt: number;
  /** When something was last sent; monotonic milliseconds. */
  sentAt: number;
  /** What was sent last. */
  sent: string;
  /** The last change of the store that it has seen. */
  seen: number;
  isDone: boolean;
}

/** All open streams. One loop serves all of them in turn; it ends with the last stream. */
class Streams {
  readonly #open = new Set<Stream>();
  readonly #encoder = new TextEncoder();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isLooking = false;

  constructor(private readonly context: WebContext) {}

  countOf(owner: string): number {
    return [...this.#open].filter((stream) => stream.owner === owner).length;
  }

  open(owner: string, look: Look): Response {
    let stream: Stream | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const now = performance.now();
        stream = { owner, look, controller, openedAt: now, sentAt: now, sent: "", seen: -1, isDone: false };
        this.#open.add(stream);
        this.#send(stream, "event: beat\ndata:\n\n");
      },
      cancel: () => this.#remove(stream!),
    });
    this.#schedule(0);
    return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  }

  #schedule(ms: number): void {
    if (this.#timer !== undefined || this.#isLooking || this.#open.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#round();
    }, ms);
  }

  async #round(): Promise<void> {
    this.#isLooking = true;
    const began = performance.now();
    for (const stream of this.#open) await this.#visit(stream);
    this.#isLooking = false;
    const spent = performance.now() - began;
    this.#schedule(Math.max(INTERVAL, spent / SHARE));
  }

  async #visit(stream: Stream): Promise<void> {
    const now = performance.now();
    if (this.context.phase() !== "ready" || now - stream.openedAt > LIFE) return this.#close(stream);
    const { store, refused, outputs, connections, hookSecrets } = this.context;
    const seen = store.changes() + refused.last + outputs.changes() + connections.changes() + hookSecrets.changes();
    if (!stream.isDone && seen !== stream.seen) {
      stream.seen = seen;
      await this.#look(stream);
    }
    if (this.#open.has(stream) && now - stream.sentAt > BEAT) this.#send(stream, "event: beat\ndata:\n\n");
  }

  async #look(stream: Stream): Promise<void> {
    try {
      const { parts, isLast = false } = await stream.look();
      const text = (await Promise.all(parts)).map((each) => maskShown(String(each), this.context.mask)).join("");
      stream.isDone = isLast;
      if (!this.#open.has(stream) || text === "" || text === stream.sent) return;
      stream.sent = text;
      this.#send(stream, `${text.split("\n").map((line) => `data: ${line}\n`).join("")}\n`);
    } catch (error) {
      this.context.onError("Cannot look for changes of a page", error);
      this.#close(stream);
    }
  }

  #send(stream: Stream, text: string): void {
    // Backpressure: a browser that does not read gets no more than it can take.
    if (stream.controller.desiredSize !== null && stream.controller.desiredSize < -16) return this.#close(stream);
    stream.controller.enqueue(this.#encoder.encode(text));
    stream.sentAt = performance.now();
  }

  #close(stream: Stream): void {
    if (!this.#open.has(stream)) return;
    this.#remove(stream);
    stream.controller.close();
  }

  #remove(stream: Stream): void {
    this.#open.delete(stream);
    if (this.#open.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
