import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { systemClock } from "../../runtime/host/clock.ts";
import { LiveFleets } from "../../runtime/fleet/fleets.ts";
import type { LiveFleetOptions } from "../../runtime/fleet/live_fleet.ts";
import { runPing } from "../../runtime/fleet/ping_targets.ts";
import type { DeviceState, DeviceView } from "../../runtime/model/fleet.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { Notice, Store } from "../../runtime/store/store.ts";
import { openIsolates } from "../../runtime/workers/open_workers.ts";
import type { Isolates } from "../../runtime/workers/workers.ts";
import { TIMEOUT } from "../e2e/until.ts";
import { heads, TestFolder } from "../folder/loading.ts";
import { BLOCK } from "../workers/harness.ts";

/** Waits for a condition; fails after two minutes with what it saw last. */
export async function until<T>(look: () => T | Promise<T>, holds: (seen: T) => boolean): Promise<T> {
  const end = Date.now() + TIMEOUT;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (Date.now() > end) {
      throw new Error(`not so within 20 s: ${holds}; seen last: ${JSON.stringify(seen)?.slice(0, 2_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A folder with fleets that live, on a real store. */
export class Plant implements AsyncDisposable {
  store!: Store;
  fleets!: LiveFleets;
  /** Own events that were stored, with their subjects. */
  readonly heard: Notice[] = [];
  readonly logs: string[] = [];
  #isolates: Isolates;
  /** Types that somebody listens to. */
  hears: (type: string) => boolean = () => true;

  private constructor(readonly folder: TestFolder, readonly options: Partial<LiveFleetOptions>, isolates: Isolates) {
    this.#isolates = isolates;
  }

  /** @param store shared with other plants */
  static async with(
    files: Record<string, string>,
    options: Partial<LiveFleetOptions> = {},
    store?: Store,
  ): Promise<Plant> {
    const isolates = openIsolates({ secrets: () => ({}), onSecret() {}, env: () => ({}), onLog() {} });
    const plant = new Plant(await TestFolder.with(files, { isolates }), options, isolates);
    plant.store = store ?? await openStore({
      folder: "",
      volatile: true,
      onWarning: (line) => plant.logs.push(line),
      now: Date.now(),
    });
    plant.store.listenToOwn({ hasListener: (type) => plant.hears(type), onNotice() {} });
    await plant.start();
    return plant;
  }

  /** Starts the program's fleets, as after a restart. */
  async start(): Promise<void> {
    this.fleets = new LiveFleets(this.surroundings());
    await this.reload();
  }

  /** What its fleets work with. */
  surroundings(): LiveFleetOptions {
    const failing = () => Promise.reject(new Error("not in this test"));
    return {
      folder: this.folder.path,
      store: this.store,
      clock: systemClock,
      surroundings: () => ({ env: {}, secrets: {} }),
      secrets: () => ({ TOKEN: "s3cret" }),
      env: () => ({}),
      maskJson: (value) => JSON.parse(JSON.stringify(value).replaceAll("s3cret", "***")),
      execute: failing,
      call: failing,
      run: (_fleet, command, timeout) => runPing(command, timeout, this.folder.path, { PATH: "/usr/bin:/bin" }),
      log: () => ({ info: (line) => this.logs.push(line), warn: (line) => this.logs.push(line) }),
      report: (_fleet, _trigger, failure) => failure !== null && this.logs.push(failure),
      onSecret() {},
      onLog: (_fleet, _level, message) => this.logs.push(message),
      onFailure: (message) => this.logs.push(message),
      stopTimeout: 2_000,
      ...this.options,
    };
  }

  async reload(files: Record<string, string> = {}): Promise<void> {
    await this.folder.write(files);
    const loaded = await this.folder.load();
    if (heads(loaded).length > 0) throw new Error(heads(loaded).join("\n"));
    await this.fleets.use(loaded);
  }

  /** Ends the fleets; the store stays. */
  async stop(): Promise<void> {
    await this.fleets.stop();
  }

  /** The stored events so far as `type subject`, without `whenthen.device.`; each is seen once. */
  async events(): Promise<string[]> {
    const notices = await this.store.listNotices(100_000);
    this.heard.splice(0, this.heard.length, ...notices);
    return notices.map(({ type, subject }) => `${type.replace("whenthen.device.", "")} ${subject}`);
  }

  counts(fleet: string): Record<DeviceState, number> {
    return this.fleets.get(fleet)!.counts;
  }

  /** Waits until so many devices are in a state. */
  async reach(fleet: string, state: DeviceState, count: number): Promise<void> {
    await until(() => this.counts(fleet), (counts) => counts[state] === count);
  }

  async device(fleet: string, name: string): Promise<DeviceView> {
    return (await this.fleets.device(fleet, name))!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fleets.stop();
    await this.#isolates.close();
    await this.store.close();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Devices that speak one line at a time over TCP: `ping`, `read N`; a name decides how each behaves. */
export class Simulator implements AsyncDisposable {
  readonly sockets = new Set<Socket>();
  /** Names that do not answer, and names whose connections are refused after `hello`. */
  readonly silent = new Set<string>();
  readonly refused = new Set<string>();
  connections = 0;
  #server: Server;

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(): Promise<Simulator> {
    const simulator = new Simulator();
    await new Promise<void>((resolve) => simulator.#server.listen(0, "127.0.0.1", resolve));
    return simulator;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #serve(socket: Socket): void {
    let name = "";
    this.connections++;
    this.sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("data", (bytes) => {
      for (const line of bytes.toString().split("\n").filter((each) => each !== "")) {
        const [word, argument] = line.split(" ");
        if (word === "hello") name = argument;
        if (this.refused.has(name)) socket.destroy();
        else if (!this.silent.has(name)) socket.write(`${word} ${argument ?? ""} ok\n`);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A platform for the simulator's protocol. */
export const LINE_PLATFORM = `
import net from "node:net";
import { device, task, type } from "whenthen";

class Line {
  #waiting: ((line: string) => void)[] = [];
  constructor(readonly socket: net.Socket) {
    socket.on("data", (bytes) => { for (const line of bytes.toString().split("\\n")) if (line !== "") this.#waiting.shift()?.(line); });
    socket.on("error", () => {});
  }
  ask(line: string, signal: AbortSignal): Promise<string> {
    if (this.socket.destroyed) throw new Error("the connection is closed");
    this.socket.write(line + "\\n");
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      this.socket.once("close", () => reject(new Error("the connection was closed")));
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  }
}

function connect(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}

export default device({
  item: type<{ name: string; port: number }>(),
  async init({ device, signal }) {
    const line = new Line(await connect(device.port));
    await line.ask("hello " + device.name, signal);
    return line;
  },
  ping: ({ session, signal }) => session.ask("ping", signal),
  tasks: {
    read: task({
      inputs: { register: { type: "integer" } },
      run: ({ session, inputs, signal }: { session: Line; inputs: { register: number }; signal: AbortSignal }) => session.ask("read " + inputs.register, signal),
    }),
  },
  stop: ({ session }) => session?.socket.destroy(),
  info: ({ session }) => ({ local: session.socket.localPort }),
});
`;

/** The list of an inventory. */
export function listed(names: string[], port: number, more = ""): string {
  return `devices:\n${names.map((name) => `  - { name: ${name}, port: ${port}${more} }\n`).join("")}key: item.name\n`;
}

export function numbered(count: number, name = "d"): string[] {
  return Array.from({ length: count }, (_, index) => `${name}${String(index).padStart(5, "0")}`);
}

/** A platform without a network: an item says how its device behaves, and each call is a line of the log. */
export const PLAY_PLATFORM = `
import { device, task, type } from "whenthen";
interface Play { name: string; init?: string; ping?: string; stop?: string; look?: string }
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const act = async (how = "") => {
  if (how === "hang") await new Promise(() => {});
  if (how === "block") ${BLOCK}
  if (how === "throw") throw new Error("no s3cret answer");
  if (how.startsWith("wait ")) await pause(Number(how.slice(5)));
};
let pings = 0;
const worker = Math.random();
export default device({
  item: type<Play>(),
  async init({ device }) { await act(device.init); console.log("init " + device.name); return { pings: 0 }; },
  async ping({ device, session }) {
    session.pings++; pings++;
    if (device.ping === "every second") { if (session.pings % 2 === 1) throw new Error("odd"); return; }
    await act(device.ping);
  },
  tasks: {
    slow: task({ inputs: { ms: 10 }, max: 2, async run({ inputs, device }) { console.log("task " + device.name); await pause(inputs.ms); return device.name; } }),
    fail: task({ timeout: "100ms", run: ({ device }) => act(device.look) }),
  },
  async stop({ device }) { console.log("stop " + device.name); await act(device.stop); },
  info: ({ session }) => ({ ...session, worker }),
});
`;

/** That platform, with a stop that ends when the file exists which an item names as `go`. */
export const HELD = PLAY_PLATFORM.replace(
  "const pause =",
  `import { existsSync } from "node:fs";
const pause =`,
).replace("stop?: string;", "stop?: string; go?: string;").replace(
  "await act(device.stop);",
  'while (device.go && !existsSync(device.go)) await pause(10); console.log("ended " + device.name);',
);

export function played(devices: object[], more: string, key = "item.name"): Record<string, string> {
  const lines = devices.map((device) => `  - ${JSON.stringify(device)}\n`).join("");
  return {
    "play.ts": PLAY_PLATFORM,
    "play.yaml": `devices:${devices.length === 0 ? " []" : `\n${lines}`}\nkey: ${key}\ndevice: ./play.ts\n${more}`,
  };
}

/** Nothing becomes reachable during a test. */
export const STILL = "ping: { every: 1000h }\n";
export const PACE = "ping: { every: [50ms, 100ms], timeout: 2s, down: 2 }\n";
