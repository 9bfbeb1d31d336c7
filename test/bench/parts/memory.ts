import { readdir } from "node:fs/promises";
import { openStore } from "../../../runtime/store/open.ts";
import { type Lab, SECRET } from "../lab.ts";
import type { Part } from "../report.ts";
import { ingestRule, LOG_STEP } from "./ingest.ts";

const IDENTITIES = 1_000_000;
/** A shorter benchmark makes do with fewer. */
const SHORT = 100_000;
/** Arrivals in one transition. */
const GROUP = 500;
/** Milliseconds in which a program comes to rest. */
const REST = 3_000;

/** Start-up, resident memory and the longest pause during a checkpoint with a million identities in the store. */
export async function memory(lab: Lab): Promise<Part> {
  const count = lab.seconds < 60 ? SHORT : IDENTITIES;
  lab.say(`filling a store with ${count.toLocaleString("en")} identities`);
  const data = await lab.folder();
  await fill(data, count);
  await using server = await lab.start(lab.binary, { "in.yaml": ingestRule(LOG_STEP) }, data);
  await new Promise((resolve) => setTimeout(resolve, REST));
  const atRest = await server.memory();
  const seconds = Math.max(3, lab.seconds / 30);
  const load = () => lab.load(server, { paths: ["/hooks/in"], connections: 8, rate: 1_000, secret: SECRET, seconds });
  const pauseOf = async () => (await Promise.all([lab.longestPause(server, seconds), load()]))[0];
  lab.say("load until a checkpoint was made");
  const before = await pauseOf();
  let pause = before;
  const known = await checkpoints(data);
  for (let more = 0; (await checkpoints(data)) === known && more < 60; more++) pause = Math.max(pause, await pauseOf());
  const underLoad = await server.memory();
  return {
    title: `Memory and pauses: ${count.toLocaleString("en")} identities known`,
    rows: [
      { what: "resident at rest", value: atRest, unit: "MB" },
      { what: "resident after load and checkpoint", value: underLoad, unit: "MB" },
      { what: "start-up", value: server.ready, unit: "ms" },
      { what: "longest pause without a checkpoint", value: before, unit: "ms", note: "1,000 webhooks/s" },
      { what: "longest pause with one", value: pause, unit: "ms", note: "1,000 webhooks/s" },
    ],
    aims: [{
      aim: "checkpoint: no pause of 50 ms",
      came: `${pause.toFixed(0)} ms`,
      reached: pause < 50,
    }],
  };
}

/** Events that no rule listened to, as a program would have taken them in. */
async function fill(folder: string, count: number): Promise<void> {
  const now = Date.now();
  const store = await openStore({ folder, now, onWarning() {} });
  for (let done = 0; done < count; done += GROUP) {
    const time = new Date(now).toISOString();
    const arrivals = Array.from({ length: GROUP }, (_, index) => ({
      event: { id: `delivery-${done + index}`, source: "/hooks/in", type: "webhook", time, data: null },
      candidates: [],
    }));
    await store.accept(arrivals, [], now);
  }
  await store.close();
}

/** The names of those that there are. */
async function checkpoints(folder: string): Promise<string> {
  return (await readdir(folder)).filter((name) => name.endsWith(".sqlite")).sort().join();
}
