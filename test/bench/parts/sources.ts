import { poll } from "../../../runtime/triggers/poll/poll.ts";
import { emitStagnant } from "../../../runtime/triggers/poll/stagnant.ts";
import { openStore } from "../../../runtime/store/open_store.ts";
import { Program } from "../../triggers/fake_context.ts";
import type { Installed } from "../install.ts";
import { type Lab, metric } from "../lab.ts";
import { median } from "../numbers.ts";
import type { Part } from "../report.ts";

const ITEMS = 250_000;
const PAGE = 1_000;
const CHANGES = 100;
/** Milliseconds between two measurements of the memory. */
const SAMPLE = 50;

const SOURCE = `
import { source } from "whenthen";
let looks = 0;
export const many = source({
  key: "item.id",
  max: ${ITEMS},
  read: ({ cursor }) => {
    const from = Number(cursor ?? 0);
    if (from === 0) looks++;
    const items = Array.from({ length: ${PAGE} }, (_, index) => {
      const id = from + index;
      return { id, version: id % ${ITEMS / CHANGES} === 0 ? looks : 0, text: String(id).padEnd(950, "x") };
    });
    const next = from + ${PAGE};
    return next < ${ITEMS} ? { items, cursor: next, more: true } : { items, complete: true };
  },
});
`;

const RULE = `when: { poll: { call: "./many.ts#many" }, every: 1s }
limit: none
max: 256
then: [{ log: "\${{ event.subject }}" }]
`;

const STAGNANT = 100_000;
const DUE = 100;
const ROUNDS = 9;

/** The memory of a poll of 250,000 items, and the time in which 100,000 items are searched for those that did not change. */
export async function sources(lab: Lab): Promise<Part> {
  lab.say(`${ITEMS.toLocaleString("en")} items of 1 kB from a source`);
  const large = await largePoll(lab, lab.binary);
  lab.say("the same with the source, on Deno");
  const onDeno = await largePoll(lab, lab.source);
  lab.say(`${STAGNANT.toLocaleString("en")} items, of which ${DUE} are due`);
  const pass = await stagnantPass();
  return {
    title: "Sources: large polls, and stagnation",
    rows: [
      {
        what: `${ITEMS.toLocaleString("en")} items: highest memory`,
        value: large.peak,
        unit: "MB",
        note: `a look took ${large.seconds.toFixed(1)} s`,
      },
      {
        what: "the same, on Deno",
        value: onDeno.peak,
        unit: "MB",
        note: `a look took ${onDeno.seconds.toFixed(1)} s`,
      },
      { what: `stagnation: a pass over ${STAGNANT.toLocaleString("en")} items, ${DUE} told`, value: pass, unit: "ms" },
    ],
    aims: [
      ...[large, onDeno].map(({ peak }, index) => ({
        aim: `250,000 items of 1 kB within 1 GB${index === 0 ? "" : ", on Deno"}`,
        came: `${Math.round(peak)} MB`,
        reached: peak < 1_000,
      })),
      { aim: "stagnation of 100,000 items: one pass in 300 ms", came: `${Math.round(pass)} ms`, reached: pass < 300 },
    ],
  };
}

/** The first look and one with changes. */
async function largePoll(lab: Lab, program: Installed): Promise<{ peak: number; seconds: number }> {
  await using server = await lab.start(program, {
    "a.yaml": RULE,
    "many.ts": SOURCE,
    "whenthen.yaml": "retention: { bytes: 1GB }\n",
  });
  let peak = 0;
  let begun = performance.now();
  let looked = 0;
  while (looked < 2) {
    peak = Math.max(peak, await server.memory());
    const events = await metric(server, "events_total");
    if (events >= (looked + 1) * CHANGES) {
      if (looked++ === 0) begun = performance.now();
    }
    await new Promise((resolve) => setTimeout(resolve, SAMPLE));
  }
  return { peak, seconds: (performance.now() - begun) / 1_000 };
}

async function stagnantPass(): Promise<number> {
  const store = await openStore({ folder: "", volatile: true, onWarning: () => {}, now: Date.now() });
  const program = new Program(poll, { poll: { call: "./x.ts#x" }, key: "item.id", stagnant: "10m", max: STAGNANT });
  const now = program.clock.now();
  const key = { rule: "test", trigger: "trigger" };
  const times: number[] = [];
  try {
    for (let from = 0; from < STAGNANT; from += 500) {
      const ids = Array.from({ length: 500 }, (_, index) => `item-${from + index}`);
      const put = ids.map((id): [string, { id: string; text: string }] => [id, { id, text: "x".repeat(940) }]);
      await store.accept([], [{ ...key, baseline: { put, remove: [], times: ids.map((id) => [id, now]) } }], now);
    }
    for (let round = 0; round < ROUNDS; round++) {
      const due = Array.from({ length: DUE }, (_, index): [string, number] => [`item-${index * 997}`, now - 3_600_000]);
      await store.accept([], [{ ...key, baseline: { put: [], remove: [], times: due } }], now);
      let told = 0;
      const context = program.context(new AbortController().signal);
      Object.assign(context, {
        store,
        ingest: async (events: unknown[], progress: object) => {
          told += events.length;
          await store.accept([], [{ ...key, ...progress }], now);
          return [];
        },
      });
      const begun = performance.now();
      await emitStagnant(context as unknown as Parameters<typeof emitStagnant>[0], new Date(now).toISOString());
      times.push(performance.now() - begun);
      if (told !== DUE) throw new Error(`${told} of ${DUE} were told`);
    }
  } finally {
    await store.close();
  }
  return median(times);
}
