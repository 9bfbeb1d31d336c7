import { env, stderr } from "node:process";
import { fit, oneLine } from "./terminal.ts";

/** Where a line of progress is shown. */
interface Stream {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** Moves to the start of the line, and erases it. */
const ERASE = "\r\x1b[K";

/**
 * A line at the end of the output that says what a command is doing, on a terminal only: nothing is in the logs of CI jobs. What
 * else is written goes above it, by {@link above}.
 */
export class Progress {
  #shown = "";

  constructor(private readonly stream: Stream = stderr, private readonly isDumb = env.TERM === "dumb") {}

  /** Replaces the line. */
  show(text: string): void {
    if (!this.stream.isTTY || this.isDumb) return;
    this.#shown = fit(oneLine(text), (this.stream.columns || 80) - 1);
    this.#write(ERASE + this.#shown);
  }

  /** Removes the line. */
  end(): void {
    if (this.#shown !== "") this.#write(ERASE);
    this.#shown = "";
  }

  /** Calls `write`, which writes whole lines to the terminal, above the line of progress. */
  above(write: () => void): void {
    if (this.#shown === "") return write();
    this.#write(ERASE);
    try {
      write();
    } finally {
      this.#write(this.#shown);
    }
  }

  #write(text: string): void {
    try {
      this.stream.write(text);
    } catch {
      // The terminal is gone. Progress is for nobody else.
    }
  }
}

/** The progress of this program's command. */
export const progress = new Progress();
