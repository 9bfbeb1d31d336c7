import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The clock of programs under test: what it was set to last, and on from there. */
export class TestClock {
  private constructor(private readonly file: string) {}

  /** @param folder where it keeps its file */
  static async in(folder: string, time: number): Promise<TestClock> {
    const clock = new TestClock(join(folder, "clock"));
    await clock.set(time);
    return clock;
  }

  /** What a program is started with to go by this clock. */
  get env(): Record<string, string> {
    return { WHENTHEN_TEST_CLOCK: this.file };
  }

  /** Sets it, also of programs that run. */
  async set(time: number): Promise<void> {
    await writeFile(`${this.file}.new`, String(time - Date.now()));
    await rename(`${this.file}.new`, this.file);
  }
}
