import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "../folder.ts";
import { start } from "../program.ts";
import { until } from "../until.ts";
import { openLoop } from "./open_loop.ts";
import { residentMegabytes } from "./resources.ts";
import { pause, size } from "./size.ts";

const SECONDS = size(40, 3_600);
/** Events a second. */
const RATE = size(500, 2_000);
/** Of a body. */
const BYTES = size(2_000, 500);
/** Megabytes. The short form fills a small one, the long one the default. */
const RETENTION = size(16, 256);

/** Bytes of all files below a folder; files removed meanwhile do not count. */
async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => undefined)));
  return sizes.reduce((sum, found) => sum + (found?.isFile() ? found.size : 0), 0);
}

/** Memory and disk at one moment, in MB. */
interface Sample {
  memory: number;
  disk: number;
}

/** Minimum, median and maximum in a part of the time; `from` and `to` are shares of it. */
function summary(samples: Sample[], of: keyof Sample, from: number, to: number) {
  const part = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));
  const values = part.map((sample) => sample[of]).sort((a, b) => a - b);
  return { least: values[0], middle: values[values.length >> 1], most: values.at(-1)! };
}

Deno.test("events at a steady rate with retention on: accepted events run once, memory and disk use are flat", async () => {
  await using folder = await rulesFolder({
    "whenthen.yaml": `retention: { bytes: ${RETENTION}MB }\n`,
    // An order is repeated after 10,000 others: its identity must have expired by then, at any rate.
    "in.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id, within: 1s }
limit: none
max: 256
if: event.data.amount > 10
then:
  - log: "Order \${{ event.data.id }}"
`,
  });
  await using program = start(folder.rules, { data: folder.data });
  const port = Number(new URL(await program.url()).port);
  const job = { port, paths: ["/hooks/in"], seconds: SECONDS, connections: 16, rate: RATE, bytes: BYTES };
  let over = false;
  const loading = openLoop(job, SECONDS + 120).finally(() => over = true);
  const samples: Sample[] = [];
  while (!over) {
    samples.push({ memory: residentMegabytes(program), disk: await bytesIn(folder.data) / 1e6 });
    // Its log lines are not needed, and an hour of them would fill the memory of this test.
    program.forget();
    await pause(size(250, 1_000));
  }
  const load = await loading;
  console.log(
    `${load.rate.toFixed(0)} events a second for ${SECONDS} s; ${load.failed} were refused`,
    load.failure ?? "",
  );
  // On a machine that is too slow for this rate the store refuses events because it is full of live runs; other refusals are errors.
  assert.match(load.failure ?? "HTTP/1.1 503", /^HTTP\/1\.1 503/);
  assert.ok(load.answered * BYTES > RETENTION * 1e6, `${load.answered} were accepted, ${load.failed} refused`);
  const succeeded = async () => {
    const metrics = await (await program.fetch("/metrics")).text();
    return Number(/^whenthen_runs\{state="succeeded"\} (\d+)/m.exec(metrics)![1]);
  };
  const all = await until("all runs", succeeded, (count) => count >= load.answered, 600_000);
  assert.equal(all, load.answered);
  for (const what of ["memory", "disk"] as const) {
    const before = summary(samples, what, 0.25, 0.5);
    const after = summary(samples, what, 0.75, 1);
    console.log(`${what} in MB: ${JSON.stringify(before)}, then ${JSON.stringify(after)}`);
    // Both rise and fall with each fold: the minimum shows what stays, the maximum what space is needed.
    // The short form ends before memory has settled.
    assert.ok(after.least <= before.least + size(150, 20), what);
    assert.ok(after.most <= 1.25 * before.most + size(150, 20), what);
  }
  assert.equal(await program.stop(), 0);
});
