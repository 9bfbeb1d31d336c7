import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "./server.ts";

/** What happens to something that a program sends: the connection breaks before it arrives, or before the answer does. */
export type Fate = "unsent" | "unanswered" | undefined;

/** A TCP proxy between one program and its database, as a network that is slow, broken or silent. */
export class Line implements AsyncDisposable {
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #isHeld = false;
  /** Decides on what the program sends. @param text of it, as it comes from the network */
  onSent: (text: string) => Fate = () => undefined;

  private constructor(
    private readonly target: URL,
    private roundTrip: number,
    private readonly port: number,
  ) {}

  /**
   * @param url the database's
   * @param roundTrip milliseconds that it adds to a question with its answer, half of them each way
   */
  static async to(url: string, roundTrip = 0): Promise<Line> {
    const line = new Line(new URL(url), roundTrip, await freePort());
    await line.#listen();
    return line;
  }

  /** The database's URL by this line. */
  get url(): string {
    const url = new URL(this.target);
    url.host = `127.0.0.1:${this.port}`;
    return url.href;
  }

  /** Makes it slower from here on, for connections that are open, too. @param roundTrip as above */
  slowDown(roundTrip: number): void {
    this.roundTrip = roundTrip;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Breaks all connections, and refuses new ones until {@link mend}. */
  cut(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const pair of this.#pairs) pair.end();
  }

  /** Accepts connections again after a {@link cut}. */
  async mend(): Promise<void> {
    await this.#listen();
  }

  /** Breaks all connections; new ones are accepted at once. */
  interrupt(): void {
    for (const pair of this.#pairs) pair.end();
  }

  /** Delivers nothing more until {@link release}: connections stay open, and nobody gets an error. */
  hold(): void {
    this.#isHeld = true;
    for (const pair of this.#pairs) pair.hold(true);
  }

  /** Delivers what waited, in order. */
  release(): void {
    this.#isHeld = false;
    for (const pair of this.#pairs) pair.hold(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.cut();
    if (server?.listening) await new Promise((resolve) => server.close(resolve));
  }

  async #listen(): Promise<void> {
    const server = this.#server = createServer({ noDelay: true }, (client) => this.#accept(client));
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
  }

  #accept(client: Socket): void {
    const upstream = connect({ port: Number(this.target.port), host: this.target.hostname, noDelay: true });
    const pair = new Pair(client, upstream, {
      delay: () => this.roundTrip / 2,
      onSent: (text) => this.onSent(text),
      onEnd: () => this.#pairs.delete(pair),
    });
    this.#pairs.add(pair);
    pair.hold(this.#isHeld);
  }
}

interface PairOptions {
  /** Milliseconds for each way. */
  delay: () => number;
  onSent: (text: string) => Fate;
  onEnd: () => void;
}

/** A connection of a program, and the one to the database that belongs to it. */
class Pair {
  #endsWithAnswer = false;

  constructor(
    private readonly client: Socket,
    private readonly upstream: Socket,
    private readonly options: PairOptions,
  ) {
    const { delay, onSent } = options;
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on("data", (bytes) => {
        const fate = from === client ? onSent(bytes.toString("latin1")) : undefined;
        if (fate === "unsent" || (from === upstream && this.#endsWithAnswer)) return this.end();
        this.#endsWithAnswer ||= fate === "unanswered";
        if (delay() === 0) to.write(bytes);
        // Timers fire in the order in which they were set, if no later one has a shorter delay.
        else setTimeout(() => to.write(bytes), delay());
      });
      from.on("error", () => {});
      from.on("close", () => this.end());
    }
  }

  hold(isHeld: boolean): void {
    for (const socket of [this.client, this.upstream]) {
      if (isHeld) socket.pause();
      else socket.resume();
    }
  }

  end(): void {
    this.client.destroy();
    this.upstream.destroy();
    this.options.onEnd();
  }
}
