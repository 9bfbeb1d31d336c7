import { isObject } from "../model/json.ts";
import type { Run } from "../model/run.ts";
import type { EventIdentity, Trace } from "../store/store.ts";
import { recordedStep } from "./recorded.ts";
import type { World } from "./world.ts";

/** The most times that the clock is advanced to what is due next: a rule may wait again and again. */
const MOST_TURNS = 1_000;
/** How many waiting runs are looked at. */
const MOST_RUNS = 1_000;

/** Something that happens next: at a time, and what a person does then. */
interface Next {
  at: number;
  act?: () => Promise<string[]>;
}

/**
 * Lets runs continue up to a time: timers fire when they are due, and people do what they did in the recorded run of the same
 * event, at the same time.
 */
export async function proceed(
  world: World,
  traceOf: (event: EventIdentity) => Trace | undefined,
  until: number,
): Promise<void> {
  const { store, runner, clock } = world;
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const waiting = await store.listRuns({ waiting: true, limit: MOST_RUNS });
    const due = [await store.nextDue(), await closesNext(world, until)].filter((at) => at !== undefined);
    const all: Next[] = [
      ...due.map((at) => ({ at })),
      ...waiting.flatMap((run) => actsIn(world, run, traceOf(run.event))),
    ];
    const [next] = all.sort((a, b) => a.at - b.at);
    if (next === undefined || next.at > until) return;
    await world.advanceTo(Math.max(next.at, clock.now()));
    if (next.act === undefined) continue;
    runner.woken(await next.act());
    await world.settled();
  }
}

/** When the batch closes that has collected events. After the last event, only it is waited for. */
async function closesNext({ store, rule }: World, until: number): Promise<number | undefined> {
  if (until !== Infinity) return undefined;
  const open = await store.listEvents({ verdict: "batched", limit: 1 });
  const verdict = open[0]?.verdicts[0]?.verdict;
  if (verdict?.kind !== "batched" || verdict.run !== undefined) return undefined;
  return await store.nextBatchDue([rule.id]);
}

/** What people did in the recorded run to the waits of a run. */
function actsIn({ store, clock }: World, run: Run, trace: Trace | undefined): Next[] {
  return (run.waits ?? []).flatMap(({ step, kind }): Next[] => {
    const answer = recordedStep(trace, step, "form");
    if (kind === "form" && isObject(answer?.output)) {
      const { by, at: _at, ...values } = answer.output;
      const at = answer.endedAt!;
      const act = async () => {
        const form = (await store.listForms({ state: "open", run: run.id, limit: MOST_RUNS })).find((each) =>
          each.step === step
        );
        if (form !== undefined) {
          await store.answerForm(form.id, { values, by: String(by), at: clock.now(), via: "api" });
        }
        return [run.id];
      };
      return [{ at, act }];
    }
    const skipped = trace?.steps.find(({ path, state, attempts }) =>
      path === step && state === "skipped" && attempts > 0
    );
    if (skipped?.endedAt === undefined) return [];
    const act = async () => {
      await store.skipWait(run.id, step, "an operator", clock.now());
      return [run.id];
    };
    return [{ at: skipped.endedAt, act }];
  });
}

/** What a run that has not ended waits for. */
export function whatIsOpen({ waits = [], waitingFor, state }: Run): string {
  return waits.map(({ what }) => what).join(", ") || waitingFor || `it is ${state}`;
}
