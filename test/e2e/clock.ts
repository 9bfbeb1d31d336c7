import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The clock of programs under test: it runs on from the time last set. */
export class TestClock {
  private constructor(private readonly file: string) {}

  /** @param folder where it keeps its file */
  static async in(folder: string, time: number): Promise<TestClock> {
    const clock = new TestClock(join(folder, "clock"));
    await clock.set(time);
    return clock;
  }

  /** The environment of a program that uses this clock. */
  get env(): Record<string, string> {
    return { WHENTHEN_TEST_CLOCK: this.file };
  }

  /** Sets it, also for running programs. */
  async set(time: number): Promise<void> {
    await writeFile(`${this.file}.new`, String(time - Date.now()));
    await rename(`${this.file}.new`, this.file);
  }
}
