import { memoryUsage } from "node:process";
import { executor, never, ruleSource, scope, withIsolates } from "./harness.ts";

/** A program that discards one worker after the other; prints its growth in megabytes since the first twenty. */
await withIsolates({}, async ({ isolates, module }) => {
  const code = await module(ruleSource(`return new Array(100_000).fill(1).length;`));
  const use = async (count: number) => {
    for (let n = 0; n < count; n += 4) {
      const versions = [0, 1, 2, 3].map((k) => ({ ...code, version: `m${n + k}` }));
      await Promise.all(versions.map((version) => isolates.runRule(version, scope(), executor(), never)));
      await Promise.all(versions.map(({ version }) => isolates.discard(version)));
    }
  };
  await use(20);
  const before = memoryUsage().rss;
  await use(60);
  const grown = Math.round((memoryUsage().rss - before) / 1e6);
  console.log(JSON.stringify({ grown, left: isolates.count() }));
});
