import process from "node:process";
import { setImmediate } from "node:timers";

/**
 * Lines on their way to a stream. Those of one turn leave in one write: a folder of a thousand rules says `loaded` a
 * thousand times in one, and each write costs a quarter of a millisecond.
 */
export class LogLines {
  #waiting = "";

  constructor(private readonly stream: { write(text: string): unknown }) {
    // What was logged in the turn that ends the program.
    process.on("exit", () => this.#flush());
  }

  /** @param line with its newline */
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
      // A disk that is full, on Deno: there is nobody left to tell, and the program goes on.
    }
  }
}
