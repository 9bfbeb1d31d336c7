import assert from "node:assert/strict";
import type { App } from "../../runtime/app/app.ts";
import { ask, Folder, holds } from "./app.ts";

/** A WebSocket server: numbers its messages, and sends those after the number that a client asks for. */
class Feed implements AsyncDisposable {
  readonly connections: { after: string | null; socket: WebSocket }[] = [];
  /** The client's answers: it takes the next message once it has stored the last one. */
  readonly taken: string[] = [];
  readonly #server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    const after = new URL(request.url).searchParams.get("after");
    socket.onopen = () => this.connections.push({ after, socket });
    socket.onmessage = ({ data }) => this.taken.push(data);
    return response;
  });

  get url(): string {
    return `ws://127.0.0.1:${this.#server.addr.port}`;
  }

  send(...numbers: number[]): void {
    const { socket } = this.connections.at(-1)!;
    for (const n of numbers) socket.send(JSON.stringify({ n, id: `i${n % 3}` }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.close();
    await this.#server.shutdown();
  }
}

const SOURCE = (url: string, more = "") => `
import { source, type } from "whenthen";
interface Message { n: number; id: string }
export const messages = source({
  item: type<Message>(),
  inputs: { room: { type: "text", default: "all" } },
  ${more}
  listen: ({ emit, cursor, signal, inputs }) => new Promise<void>((resolve, reject) => {
    const socket = new WebSocket("${url}/?after=" + cursor + "&room=" + inputs.room);
    let last = Promise.resolve();
    socket.onmessage = ({ data }) => {
      const message: Message = JSON.parse(data);
      last = last.then(() => emit(message, { cursor: message.n })).then(() => socket.send(String(message.n)));
      last.catch(reject);
    };
    socket.onclose = () => last.then(() => resolve(), reject);
    socket.onerror = () => reject(new Error("the connection failed"));
    signal.addEventListener("abort", () => socket.close());
  }),
});
`;

const RULE = (options = "") => `
when: { poll: { call: "./feed.ts#messages" }${options} }
then: [{ log: "\${{ event.type }} \${{ event.data.new.n }}" }]
`;

async function running(folder: Folder, use: (app: App) => Promise<void>): Promise<void> {
  const app = await folder.open();
  try {
    await app.start();
    await use(app);
  } finally {
    await app.stop();
  }
}

Deno.test("what a WebSocket pushes is told; after a break or a restart it continues at its cursor, and the problem is shown", async () => {
  await using feed = new Feed();
  await using folder = await Folder.with({ "feed.ts": SOURCE(feed.url), "a.yaml": RULE() });
  await running(folder, async (app) => {
    await holds("a connection", () => feed.connections.length === 1);
    assert.equal(feed.connections[0].after, "null");
    feed.send(1, 2, 2, 3);
    await holds("all to be stored", () => feed.taken.length === 4);
    await holds("the runs", async () => (await ask(app, "/api/runs")).length === 4);
    feed.connections[0].socket.close();
    await holds("the problem", async () => {
      const [rule] = await ask(app, "/api/rules");
      return JSON.stringify(rule).includes("listen ended: it returned; it is called again after 1s");
    });
    await holds("the next connection", () => feed.connections.length === 2);
    assert.equal(feed.connections[1].after, "3");
    feed.send(4);
    await holds("the runs", async () => (await ask(app, "/api/runs")).length === 5);
    const [rule] = await ask(app, "/api/rules");
    assert.ok(!JSON.stringify(rule).includes("listen ended"), "it works again");
  });
  await running(folder, async (app) => {
    await holds("a connection after the restart", () => feed.connections.length === 3);
    assert.equal(feed.connections[2].after, "4");
    feed.send(5);
    await holds("the runs", async () => (await ask(app, "/api/runs")).length === 6);
  });
  await holds("its end", () => feed.connections[2].socket.readyState === WebSocket.CLOSED);
});

Deno.test("with a key the items that are pushed are compared; a changed rule or code listens anew", async () => {
  await using feed = new Feed();
  const keyed = 'key: "item.id", ignore: ["n"],';
  await using folder = await Folder.with({ "feed.ts": SOURCE(feed.url, keyed), "a.yaml": RULE() });
  await running(folder, async (app) => {
    await holds("a connection", () => feed.connections.length === 1);
    feed.send(0, 1, 3, 4);
    await holds("all to be stored", () => feed.taken.length === 4);
    await holds("the runs", async () => (await ask(app, "/api/runs")).length === 2);
    await folder.write({ "feed.ts": SOURCE(feed.url, `key: "item.id",`) });
    await holds("a new connection", () => feed.connections.length === 2);
    await holds("the end of the old one", () => feed.connections[0].socket.readyState === WebSocket.CLOSED);
  });
});

Deno.test("emit waits until the item is stored: a source that awaits it takes no more than that", async () => {
  await using feed = new Feed();
  await using folder = await Folder.with({ "feed.ts": SOURCE(feed.url), "a.yaml": RULE() });
  await running(folder, async (app) => {
    await holds("a connection", () => feed.connections.length === 1);
    feed.send(...Array.from({ length: 200 }, (_, n) => n));
    await holds("all to be stored", () => feed.taken.length === 200);
    assert.deepEqual(feed.taken.map(Number), Array.from({ length: 200 }, (_, n) => n), "in their order");
    await holds("the runs", async () => (await ask(app, "/api/runs?limit=500")).length === 200);
  });
});

Deno.test("forty rules listen by one module at once, and each has its own cursor and signal", async () => {
  await using feed = new Feed();
  const names = Array.from({ length: 40 }, (_, index) => `r${index}.yaml`);
  await using folder = await Folder.with({
    "feed.ts": SOURCE(feed.url),
    ...Object.fromEntries(names.map((name) => [name, RULE()])),
  });
  await running(folder, async (app) => {
    await holds("forty connections", () => feed.connections.length === 40);
    for (const { socket } of feed.connections) socket.send(JSON.stringify({ n: 7, id: "i" }));
    await holds("the runs", async () => (await ask(app, "/api/runs?limit=500")).length === 40);
    await folder.write({ "r0.yaml": RULE(", every: 1m") });
    await holds("the changed rule to listen again", () => feed.connections.length === 41);
    const isClosed = ({ socket }: { socket: WebSocket }) => socket.readyState === WebSocket.CLOSED;
    await holds("the end of its first connection", () => feed.connections.filter(isClosed).length === 1);
  });
});
