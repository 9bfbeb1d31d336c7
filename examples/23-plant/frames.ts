import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Frames as in Modbus TCP: transaction, protocol 0, length, then unit, function and data. */
export function frame(transaction: number, unit: number, code: number, data: number[]): Uint8Array {
  const bytes = new Uint8Array(8 + 2 * data.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, transaction);
  view.setUint16(4, bytes.length - 6);
  bytes[6] = unit;
  bytes[7] = code;
  data.forEach((word, index) => view.setUint16(8 + 2 * index, word));
  return bytes;
}

export interface Frame {
  transaction: number;
  unit: number;
  code: number;
  data: number[];
}

/** Takes the whole frames out of what has come so far. @returns the rest */
export function readFrames(bytes: Uint8Array, take: (frame: Frame) => void): Uint8Array {
  let rest = bytes;
  while (rest.length >= 8) {
    const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
    const length = 6 + view.getUint16(4);
    if (rest.length < length) break;
    const words = Array.from({ length: (length - 8) / 2 }, (_, index) => view.getUint16(8 + 2 * index));
    take({ transaction: view.getUint16(0), unit: rest[6], code: rest[7], data: words });
    rest = rest.subarray(length);
  }
  return rest;
}

export const READ = 3;
export const WRITE = 6;
/** Added to the function of an answer that refuses. */
export const REFUSED = 0x80;

/** A connection to one unit; requests may overlap. */
export class Unit {
  readonly #waiting = new Map<number, { resolve(frame: Frame): void; reject(error: Error): void }>();
  #last = 0;
  #rest: Uint8Array = new Uint8Array();

  private constructor(readonly socket: Socket, readonly unit: number) {
    socket.on("data", (bytes) => {
      const all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes as Uint8Array, this.#rest.length);
      this.#rest = readFrames(all, (frame) => this.#answered(frame));
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the connection was closed"));
      this.#waiting.clear();
    });
  }

  static async open(
    { host, port, unit }: { host: string; port: number; unit: number },
    signal: AbortSignal,
  ): Promise<Unit> {
    const socket = connect({ host, port });
    try {
      await once(socket, "connect", { signal });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return new Unit(socket, unit);
  }

  async read(register: number, signal: AbortSignal): Promise<number> {
    return (await this.#ask(READ, [register, 1], signal))[0];
  }

  async write(register: number, value: number, signal: AbortSignal): Promise<void> {
    await this.#ask(WRITE, [register, value], signal);
  }

  close(): void {
    this.socket.destroy();
  }

  #ask(code: number, data: number[], signal: AbortSignal): Promise<number[]> {
    if (this.socket.destroyed) return Promise.reject(new Error("the connection was closed"));
    const transaction = this.#last = (this.#last + 1) % 0x10000;
    return new Promise((resolve, reject) => {
      this.#waiting.set(transaction, {
        resolve: (frame) =>
          frame.code === code ? resolve(frame.data) : reject(new Error(`refused with code ${frame.data[0]}`)),
        reject,
      });
      signal.addEventListener("abort", () => {
        this.#waiting.delete(transaction);
        reject(signal.reason);
      }, { once: true });
      this.socket.write(frame(transaction, this.unit, code, data));
    });
  }

  #answered(frame: Frame): void {
    this.#waiting.get(frame.transaction)?.resolve(frame);
    this.#waiting.delete(frame.transaction);
  }
}
