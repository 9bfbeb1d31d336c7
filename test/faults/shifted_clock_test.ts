import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../runtime/host/clock.ts";
import { chooseClock } from "./shifted_clock.ts";

const DAY = 86_400_000;

Deno.test("the clock of black-box tests is shifted by the value in its file, also if that changes; without a file it is the machine's clock", async () => {
  assert.equal(chooseClock(systemClock, undefined), systemClock);
  const folder = await mkdtemp(join(tmpdir(), "whenthen-clock-"));
  const file = join(folder, "shift");
  try {
    await writeFile(file, `${DAY}\n`);
    const clock = chooseClock(systemClock, file);
    const began = Date.now();
    assert.ok(clock.now() >= began + DAY);
    const woken = new Promise<void>((resolve) => clock.at(began + 3 * DAY, resolve));
    await writeFile(`${file}.new`, String(3 * DAY));
    await rename(`${file}.new`, file);
    await woken;
    assert.ok(clock.now() >= began + 3 * DAY);
    await writeFile(file, "tomorrow");
    assert.throws(() => chooseClock(systemClock, file), /expected milliseconds/);
    await writeFile(file, "0");
  } finally {
    await rm(folder, { recursive: true });
  }
});
