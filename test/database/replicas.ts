import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { rulesFolder } from "../e2e/folder.ts";
import { type Answered, type Program, start } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { Line } from "./line.ts";
import { freePort } from "./server.ts";

/** Milliseconds after which a request to a replica is given up: it may be frozen. */
const PATIENCE = 15_000;

export interface ReplicasOptions {
  /** @default 3 */
  count?: number;
  /** Milliseconds that the network adds to a question to the database. @default 0 */
  roundTrip?: number;
  /** More of the environment of one. `REPLICA` is its name: `r1`, `r2`, … */
  env?: (name: string) => Record<string, string>;
}

/** Several programs over one rules folder and one database, each as on a machine of its own; used with `await using`. */
export class Replicas implements AsyncDisposable {
  readonly all: Replica[] = [];

  private constructor(
    private readonly folder: Awaited<ReturnType<typeof rulesFolder>>,
    readonly url: string,
    private readonly options: ReplicasOptions,
  ) {}

  /** Starts them; resolves when all are ready. @param url the database's */
  static async start(url: string, files: Record<string, string>, options: ReplicasOptions = {}): Promise<Replicas> {
    const replicas = new Replicas(await rulesFolder(files), url, options);
    try {
      await Promise.all(Array.from({ length: options.count ?? 3 }, () => replicas.add()));
    } catch (error) {
      await replicas[Symbol.asyncDispose]();
      throw error;
    }
    return replicas;
  }

  /** Starts one more, and waits until it is ready. */
  async add(): Promise<Replica> {
    const name = `r${this.all.length + 1}`;
    const cache = join(this.folder.rules, "..", name);
    const env = { XDG_CACHE_HOME: cache, REPLICA: name, ...this.options.env?.(name) };
    const place = Promise.all([Line.to(this.url, this.options.roundTrip), freePort()]);
    const replica = new Replica(name, cache, place, (data, port) => {
      // One that begins anew in the same process listens where it did before.
      return start(this.folder.rules, { data, env, args: ["--port", String(port)] });
    });
    this.all.push(replica);
    await replica.launch();
    await replica.ready();
    return replica;
  }

  /** Those that run and are not frozen. */
  get up(): Replica[] {
    return this.all.filter(({ state }) => state === "up");
  }

  /** Writes a file of the rules folder. */
  write(name: string, text: string): Promise<void> {
    return this.folder.write(name, text);
  }

  /** Waits until one of those that are up decides. */
  async decider(timeout?: number): Promise<Replica> {
    const found = await until("a replica to decide", () => this.#findDecider(), (one) => one !== undefined, timeout);
    return found!;
  }

  /** Waits until all count as alive, and are ready. One that was silent for long may not know yet that it begins anew. */
  async settled(): Promise<void> {
    const pids = this.all.map(({ pid }) => pid).sort();
    const look = async () => {
      const members = await (await this.decider()).members().catch((): Member[] => []);
      return members.filter(({ state }) => state === "alive").map(({ pid }) => pid).sort();
    };
    await until(`${pids} to be alive`, look, (alive) => alive.join() === pids.join());
    await Promise.all(this.all.map((replica) => replica.ready()));
  }

  /** Those that are up and do not decide. */
  async followers(): Promise<Replica[]> {
    const decider = await this.decider();
    return this.up.filter((replica) => replica !== decider);
  }

  async #findDecider(): Promise<Replica | undefined> {
    for (const asked of this.up) {
      const members = await asked.members().catch(() => undefined);
      const decider = members?.find(({ decides, state }) => decides && state === "alive");
      const found = this.up.find(({ pid }) => pid === decider?.pid);
      if (found !== undefined) return found;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((replica) => replica[Symbol.asyncDispose]()));
    await this.folder[Symbol.asyncDispose]();
  }
}

/** What a replica tells about each replica. */
export interface Member {
  id: string;
  pid: number;
  decides: boolean;
  state: "alive" | "silent" | "fenced";
}

/** One of the programs. */
export class Replica implements AsyncDisposable {
  state: "up" | "frozen" | "down" = "down";
  /** `performance.now()` when it was last let go on. */
  thawedAt = -Infinity;
  /** How often it was made to stop working. */
  #incidents = 0;
  #line: Line | undefined;
  #program: Program | undefined;

  constructor(
    readonly name: string,
    private readonly cache: string,
    private readonly place: Promise<[Line, number]>,
    private readonly startOn: (url: string, port: number) => Program,
  ) {}

  get line(): Line {
    return this.#line!;
  }

  get program(): Program {
    return this.#program!;
  }

  /**
   * How often it was made to stop working, or began to begin anew, or has done so: if that changes, or it is doing so, a request may
   * fail.
   */
  get disturbed(): { times: number; isAway: boolean } {
    const lines = this.#program?.lines ?? [];
    const lost = lines.findLastIndex(({ message }) => message.includes("it begins anew as another replica"));
    const listens = lines.findLastIndex(({ message }) => message.startsWith("Listening on"));
    return { times: this.#incidents + lost + 1, isAway: this.state !== "up" || lost > listens };
  }

  get pid(): number {
    return this.program.child.pid!;
  }

  /** Starts it, again after it has ended. */
  async launch(): Promise<void> {
    assert.equal(this.state, "down", this.name);
    const [line, port] = await this.place;
    this.#line = line;
    this.#program = this.startOn(line.url, port);
    await this.#program.url();
    this.state = "up";
  }

  /** Waits until it accepts events. */
  async ready(timeout?: number): Promise<void> {
    const look = () => this.program.fetch("/readyz").then(({ status }) => status);
    await until(`${this.name} to be ready`, look, (status) => status === 200, timeout);
  }

  async kill(): Promise<void> {
    this.#leave("down");
    await this.program.kill();
  }

  /** SIGTERM. It must exit with 0. */
  async stop(): Promise<void> {
    this.#leave("down");
    assert.equal(await this.program.stop(), 0, this.program.output);
  }

  /** SIGSTOP: it does nothing, and its connections stay open. */
  freeze(): void {
    this.#leave("frozen");
    process.kill(this.pid, "SIGSTOP");
  }

  /** SIGCONT. */
  thaw(): void {
    this.thawedAt = performance.now();
    process.kill(this.pid, "SIGCONT");
    this.state = "up";
  }

  /** The names of the files in its folder on this machine. */
  async files(): Promise<string[]> {
    const folders = (await readdir(this.cache)).filter((name) => name.startsWith("whenthen-"));
    return (await Promise.all(folders.map((name) => readdir(join(this.cache, name))))).flat();
  }

  /** The replicas, as this one knows them. @throws if it cannot reach the database, or is away */
  async members(): Promise<Member[]> {
    const response = await this.program.fetch("/api/replicas", { signal: AbortSignal.timeout(1_000) });
    const body = await response.json();
    assert.equal(response.status, 200, JSON.stringify(body));
    return body;
  }

  /** A post that is given up after a while. @throws if there was no answer */
  async post(
    path: string,
    body: unknown,
    patience = PATIENCE,
  ): Promise<{ status: number; body: Answered; retryAfter: string | null }> {
    const response = await this.program.fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patience),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: /^[[{]/.test(text) ? JSON.parse(text) : text,
      retryAfter: response.headers.get("retry-after"),
    };
  }

  api(path: string): Promise<Answered> {
    return this.program.api(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave("down");
    // A frozen one is killed, too.
    await this.#program?.kill();
    await (await this.place)[0][Symbol.asyncDispose]();
  }

  #leave(state: "frozen" | "down"): void {
    this.#incidents++;
    this.state = state;
  }
}
