import process from "node:process";
import { setImmediate } from "node:timers";

/**
 * Buffers lines for a stream. The lines of one turn of the event loop are written at once: a folder of a thousand rules
 * logs `loaded` a thousand times in one turn, and each write costs a quarter of a millisecond.
 */
export class LogLines {
  #waiting = "";

  constructor(private readonly stream: { write(text: string): unknown }) {
    // Writes what was logged in the turn that ends the program.
    process.on("exit", () => this.#flush());
  }

  /** @param line including its newline */
  add(line: string): void {
    if (this.#waiting === "") setImmediate(() => this.#flush());
    this.#waiting += line;
  }

  #flush(): void {
    const text = this.#waiting;
    this.#waiting = "";
    if (text === "") return;
    try {
      this.stream.write(text);
    } catch {
      // A full disk, on Deno: there is nowhere to report it, and the program continues.
    }
  }
}
