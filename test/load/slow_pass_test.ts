import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../runtime/host/clock.ts";
import { SlowPass } from "../../runtime/load/slow_pass.ts";

Deno.test("a slow pass finds each change once: inside, outside, added, removed", async () => {
  const [folder, other] = await Promise.all(["in-", "out-"].map((name) => mkdtemp(join(tmpdir(), `whenthen-${name}`))));
  const [inside, outside] = [join(folder, "a.yaml"), join(other, "lib.ts")];
  for (const file of [inside, outside]) await writeFile(file, "1");
  const clock = new ManualClock(0);
  let count = 0;
  let found = () => {};
  const onChange = () => {
    count++;
    found();
  };
  const onWarning = (message: string) => assert.fail(message);
  const pass = new SlowPass({ folder, ignore: [] }, { clock, onWarning }, onChange);
  await pass.start();
  pass.outside = [outside];
  const next = async () => {
    const change = new Promise<void>((resolve) => found = resolve);
    const turn = setInterval(() => void clock.advanceTo(clock.now() + 30_000), 5);
    await change;
    clearInterval(turn);
  };
  const changes = [
    () => writeFile(inside, "22"),
    () => writeFile(outside, "22"),
    () => writeFile(join(folder, "b.yaml"), "1"),
    () => rm(inside),
    () => rm(outside),
  ];
  // What somebody has told of is no news.
  const told = [
    [inside, () => writeFile(inside, "333")],
    [join(folder, "c.yaml"), () => writeFile(join(folder, "c.yaml"), "1")],
    [join(folder, "c.yaml"), () => rm(join(folder, "c.yaml"))],
  ] as const;
  for (const [path, change] of told) {
    await change();
    pass.told(path);
  }
  for (const [index, change] of changes.entries()) {
    // The file outside is known from its first pass on.
    for (let turn = 0; turn < 20; turn++) await clock.advanceTo(clock.now() + 30_000);
    await change();
    await next();
    assert.equal(count, index + 1);
  }
  pass.stop();
  await rm(folder, { recursive: true });
  await rm(other, { recursive: true });
});
