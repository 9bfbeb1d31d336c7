import { connect, type Socket } from "node:net";
import { argv, cpuUsage, stdout } from "node:process";
import type { Job, Load } from "./job.ts";
import { makeRequests } from "./requests.ts";

/*
 * Sends requests over plain connections and measures each response time. It parses only as much HTTP as it needs to find
 * the end of a response: a client library would cost more than the measured servers. Usage: generator.ts JOB
 */

const job: Job = JSON.parse(argv[2]);
const requests = makeRequests(job);
const times: number[] = [];
let failed = 0;
let failure: string | undefined;
let sent = 0;

/** One connection; repeats its request if configured to. */
class Client {
  #socket: Socket | undefined;
  #due = 0;
  #answer = "";

  constructor(private readonly onIdle: (client: Client) => void) {}

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = this.#socket = connect({ port: job.port, host: "127.0.0.1", noDelay: true }, resolve);
      socket.setEncoding("latin1");
      socket.on("data", (text: string) => this.#read(text));
      socket.on("error", reject);
      socket.on("close", () => this.#reopen());
    });
  }

  /** @param due when the request should have been sent, by `performance.now()` */
  send(due: number): void {
    this.#due = due;
    this.#socket!.write(requests[sent++ % requests.length]);
  }

  close(): void {
    this.#socket!.removeAllListeners("close");
    this.#socket!.destroy();
  }

  #read(text: string): void {
    this.#answer += text;
    if (!isComplete(this.#answer)) return;
    const status = this.#answer.slice(9, 12);
    if (status === "200" || status === "202") times.push(performance.now() - this.#due);
    else this.#fail(this.#answer);
    this.#answer = "";
    this.onIdle(this);
  }

  async #reopen(): Promise<void> {
    this.#fail("the connection was closed");
    this.#answer = "";
    await this.open();
    this.onIdle(this);
  }

  #fail(reason: string): void {
    failed++;
    failure ??= reason;
  }
}

function isComplete(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(answer)?.[1];
  return length === undefined ? answer.endsWith("0\r\n\r\n") : answer.length >= end + 4 + Number(length);
}

/** Closed loop: each connection sends the next request as soon as it has its response. */
async function closedLoop(until: number): Promise<void> {
  let open = job.connections;
  const { promise, resolve } = Promise.withResolvers<void>();
  const again = (client: Client) => {
    const now = performance.now();
    if (now < until) return client.send(now);
    client.close();
    if (--open === 0) resolve();
  };
  const clients = Array.from({ length: job.connections }, () => new Client(again));
  await Promise.all(clients.map((client) => client.open()));
  clients.forEach(again);
  await promise;
}

/** Open loop: requests are due at a rate; one that finds no idle connection counts from its due time. Late ones at the end are left out. */
async function openLoop(rate: number, from: number, until: number): Promise<void> {
  const idle: Client[] = [];
  const clients = Array.from({ length: job.connections }, () => new Client((client) => idle.push(client)));
  await Promise.all(clients.map((client) => client.open()));
  idle.push(...clients);
  for (let due = from, now = from; due < until && now < until;) {
    now = performance.now();
    // In turn: a server closes connections that are idle for a while.
    for (; due <= now && idle.length > 0; due += 1_000 / rate) idle.shift()!.send(due);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  while (idle.length < clients.length) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const client of clients) client.close();
}

const begun = performance.now();
const before = cpuUsage();
const until = begun + job.seconds * 1_000;
await (job.rate === undefined ? closedLoop(until) : openLoop(job.rate, begun, until));
const { user, system } = cpuUsage(before);
const seconds = (performance.now() - begun) / 1_000;
times.sort((a, b) => a - b);
const quantile = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
const load: Load = {
  rate: times.length / seconds,
  answered: times.length,
  failed,
  ...(failure !== undefined && { failure }),
  p50: quantile(0.5),
  p99: quantile(0.99),
  longest: quantile(1),
  generator: (user + system) / 1e6 / seconds,
};
stdout.write(JSON.stringify(load));
