// PLCs to play with, and their power switch: npx -y deno@2.9.6 run -A examples/23-plant/simulator.ts
// Lines on standard input change how a unit behaves: "hang 2", "slow 2", "refuse 2", "close 2", "well 2".
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import process from "node:process";
import { type Frame, frame, READ, readFrames, REFUSED, WRITE } from "./frames.ts";

export type Behaviour = "well" | "hang" | "slow" | "refuse" | "close";

/** Milliseconds until a slow unit answers. */
const SLOW = 2_000;

/** Units behind one port; each behaves as told until its power is cycled. */
export class Simulator {
  readonly behaviours = new Map<number, Behaviour>();
  readonly registers = new Map<string, number>();
  /** Units in the order in which their power was cycled. */
  readonly rebooted: number[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => this.#serve(socket));

  /** @returns the port */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => resolve((this.#server.address() as { port: number }).port));
    });
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    let rest: Uint8Array = new Uint8Array();
    socket.on("data", (bytes) => {
      const all = new Uint8Array([...rest, ...(bytes as Uint8Array)]);
      rest = readFrames(all, (request) => this.#handle(socket, request));
    });
  }

  #handle(socket: Socket, request: Frame): void {
    const { transaction, unit, code } = request;
    const behaviour = this.behaviours.get(unit) ?? "well";
    if (behaviour === "hang") return;
    if (behaviour === "close") return void socket.destroy();
    const answer = behaviour === "refuse"
      ? frame(transaction, unit, code | REFUSED, [4])
      : frame(transaction, unit, code, this.#answer(request));
    if (behaviour === "slow") setTimeout(() => socket.write(answer), SLOW);
    else socket.write(answer);
  }

  #answer({ unit, code, data: [register, value] }: Frame): number[] {
    if (code === READ) return [this.registers.get(`${unit} ${register}`) ?? 0];
    if (code !== WRITE) return [];
    if (unit === 0) this.#cycle(register);
    else this.registers.set(`${unit} ${register}`, value);
    return [register, value];
  }

  #cycle(unit: number): void {
    this.behaviours.delete(unit);
    this.rebooted.push(unit);
  }
}

if (import.meta.main) {
  const simulator = new Simulator();
  console.log(`PLCs listen on port ${await simulator.listen(5020)}`);
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [behaviour, unit] = line.split(" ");
    simulator.behaviours.set(Number(unit), behaviour as Behaviour);
  });
}
