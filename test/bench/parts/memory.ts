import { readdir } from "node:fs/promises";
import { openStore } from "../../../runtime/store/open_store.ts";
import { type Lab, SECRET } from "../lab.ts";
import type { Part } from "../report.ts";
import { ingestRule, LOG_STEP } from "./ingest.ts";

const IDENTITIES = 1_000_000;
/** A shorter benchmark uses fewer. */
const SHORT = 100_000;
/** Arrivals in one transition. */
const GROUP = 500;
/** Milliseconds until a program is idle. */
const REST = 3_000;
/** Webhooks a second. */
const RATE = 1_000;
/** Polls within which a fold should have happened. */
const TIMEOUT = 60;

/** Start-up, resident memory and the longest pause during a fold with a million identities in the store. */
export async function memory(lab: Lab): Promise<Part> {
  const count = lab.seconds < 60 ? SHORT : IDENTITIES;
  lab.say(`filling a store with ${count.toLocaleString("en")} identities`);
  const data = await lab.folder();
  await fill(data, count);
  await using server = await lab.start(lab.binary, { "in.yaml": ingestRule(LOG_STEP) }, data);
  await using idle = await lab.startIdle();
  await new Promise((resolve) => setTimeout(resolve, REST));
  const atRest = await server.memory();
  const seconds = Math.max(3, lab.seconds / 30);
  const look = async (): Promise<Pauses> => {
    const job = { paths: ["/hooks/in"], connections: 8, rate: RATE, secret: SECRET, seconds };
    const [pause, machine, load] = await Promise.all([
      lab.longestPause(server, seconds),
      lab.longestPause(idle, seconds),
      lab.load(server, job),
    ]);
    if (load.failed > 0) throw new Error(`${load.failed} webhooks were not accepted: ${load.failure}`);
    return { pause, machine, answer: load.longest };
  };
  lab.say("load until a segment was folded");
  const before = await look();
  const during: Pauses[] = [];
  const known = await folds(data);
  while (await folds(data) === known) {
    if (during.length === TIMEOUT) throw new Error(`Nothing was folded in ${TIMEOUT * seconds} s of load`);
    during.push(await look());
  }
  const longest = (of: (each: Pauses) => number) => Math.max(...during.map(of));
  const pause = longest(({ pause }) => pause);
  const note = `${RATE.toLocaleString("en")} webhooks/s`;
  return {
    title: `Memory and pauses: ${count.toLocaleString("en")} identities known`,
    rows: [
      { what: "resident at rest", value: atRest, unit: "MB" },
      { what: "resident after load and fold", value: await server.memory(), unit: "MB" },
      { what: "start-up", value: server.ready, unit: "ms" },
      { what: "longest pause without a fold", value: before.pause, unit: "ms", note },
      { what: "longest pause with one", value: pause, unit: "ms", note },
      { what: "longest pause of an idle server meanwhile", value: longest(({ machine }) => machine), unit: "ms" },
      { what: "longest answer to a webhook without one", value: before.answer, unit: "ms", note },
      { what: "longest answer to a webhook with one", value: longest(({ answer }) => answer), unit: "ms", note },
    ],
    aims: [
      { aim: "fold: no pause of 50 ms", came: `${pause.toFixed(0)} ms`, reached: pause < 50 },
      // The aims are for this many; fewer prove nothing.
      ...count < IDENTITIES ? [] : [
        { aim: "a million identities: 150 MB", came: `${atRest.toFixed(0)} MB`, reached: atRest <= 150 },
        {
          aim: "a million identities: start 1 s",
          came: `${server.ready.toFixed(0)} ms`,
          reached: server.ready <= 1_000,
        },
      ],
    ],
  };
}

/**
 * The longest response times in a period, in milliseconds: of an empty page, the same of an idle server, and of webhooks, which
 * wait for the disk.
 */
interface Pauses {
  pause: number;
  machine: number;
  answer: number;
}

/** Events that no rule listened to, as a program would have stored them. */
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

/** The names of the files that folds have made. */
async function folds(folder: string): Promise<string> {
  return (await readdir(folder)).filter((name) => name.endsWith(".sqlite")).sort().join();
}
