import { createServer, type ServerResponse } from "node:http";
import { type Lab, metric } from "../lab.ts";
import { median } from "../numbers.ts";
import type { Part, Row } from "../report.ts";
import type { Server } from "../server.ts";

const COUNTS = [10_000, 100_000];
const CHANGES = 100;
/** Items on a page: an http step reads responses of up to 10 MB. */
const PAGE = 5_000;
const ROUNDS = 3;
/** Of a round: long enough to poll all pages. */
const SECONDS = 5;
/** Milliseconds until the first poll is stored. */
const REST = 5_000;

/** A source of items of 1 kB, of which 100 change on request. */
class Source implements AsyncDisposable {
  readonly #server = createServer(({ url, headers }, response) =>
    this.#answer(url!, headers["if-none-match"], response)
  );
  #version = 0;
  #sent = Promise.withResolvers<number>();

  constructor(private readonly count: number) {}

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as { port: number };
    return `http://127.0.0.1:${port}`;
  }

  /** Resolves once the last page of the present version was sent: when that was, by `performance.now()`. */
  get sent(): Promise<number> {
    return this.#sent.promise;
  }

  /** @returns as `sent`, of the new version */
  change(): Promise<number> {
    this.#version++;
    this.#sent = Promise.withResolvers();
    return this.sent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(url: string, known: string | undefined, response: ServerResponse): void {
    const etag = `"${this.#version}"`;
    const page = Number(url.slice(1));
    if (known === etag && page === 0) return void response.writeHead(304).end();
    const last = (page + 1) * PAGE >= this.count;
    const items = Array.from({ length: Math.min(PAGE, this.count) }, (_, index) => this.#item(page * PAGE + index));
    const next = last ? null : `http://${response.req.headers.host}/${page + 1}`;
    const headers = { "content-type": "application/json", ...page === 0 && { etag } };
    response.writeHead(200, headers).end(JSON.stringify({ items, next }), () => {
      if (last) this.#sent.resolve(performance.now());
    });
  }

  #item(index: number): object {
    const every = Math.floor(this.count / CHANGES);
    const changed = index % every === 0 && index / every < CHANGES;
    return { id: `item-${index}`, version: changed ? this.#version : 0, text: "x".repeat(940) };
  }
}

function rule(url: string): string {
  return `when:
  poll: ${url}/0
  every: 1s
  items: body.items
  key: item.id
  on: [changed]
  pages: { next: body.next }
  max: 1000000
limit: none
max: 256
then:
  - log: \${{ event.subject }} is at \${{ event.data.new.version }}
`;
}

/** Time from the last byte of a list with 100 changed items until their events are stored, and how long that delays others. */
export async function poll(lab: Lab): Promise<Part> {
  const times: Row[] = [];
  const pauses: Row[] = [];
  for (const count of COUNTS) {
    lab.say(`${count.toLocaleString("en")} items of 1 kB, ${CHANGES} changes, ${ROUNDS} times`);
    const measured = await measure(lab, count);
    const what = `${count.toLocaleString("en")} items`;
    const note = `${Math.round(measured.memory)} MB resident`;
    times.push({ what, value: median(measured.times), unit: "ms", note });
    pauses.push({
      what: `${what}, longest pause`,
      value: measured.pause,
      unit: "ms",
      note: `an idle server's meanwhile ${Math.round(measured.machine)} ms`,
    });
  }
  return { title: `Poll: diff of items of 1 kB with ${CHANGES} changes`, rows: [...times, ...pauses], aims: [] };
}

async function measure(
  lab: Lab,
  count: number,
): Promise<{ times: number[]; pause: number; machine: number; memory: number }> {
  await using source = new Source(count);
  const rules = { "poll.yaml": rule(await source.listen()), "whenthen.yaml": "retention: 1GB\n" };
  await using server = await lab.start(lab.binary, rules);
  await using idle = await lab.startIdle();
  await source.sent;
  await new Promise((resolve) => setTimeout(resolve, REST));
  const times: number[] = [];
  const pauses: [ours: number, machine: number][] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const pause = Promise.all([lab.longestPause(server, SECONDS), lab.longestPause(idle, SECONDS)]);
    const sent = await source.change();
    await until(server, round * CHANGES);
    times.push(performance.now() - sent);
    pauses.push(await pause);
  }
  const [pause, machine] = [0, 1].map((which) => Math.max(...pauses.map((each) => each[which])));
  return { times, pause, machine, memory: await server.memory() };
}

async function until(server: Server, events: number): Promise<void> {
  while (await metric(server, "events_total") < events) await new Promise((resolve) => setTimeout(resolve, 10));
}
