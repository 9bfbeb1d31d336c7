import { messageOf } from "../model/errors.ts";
import type { Form } from "../model/form.ts";
import type { Position } from "../model/problem.ts";
import { CONDITION_STEP, type StepRecord, type StepWait } from "../model/run.ts";
import type { Seen, SeenForm, SeenStep, SeenWait, TestFailure } from "../model/test.ts";
import { TestFailed } from "./activity.ts";
import type { World } from "./world.ts";

/** How many runs and forms are read. */
const MOST = 1_000;
/** How many events are searched for the last one that the rule did not emit itself. */
const LAST_EVENTS = 200;
/** How many failed steps are reported. */
const MOST_FAILURES = 5;

/** What a test sees of a world in its current state. */
export async function look(world: World): Promise<Seen> {
  const { store, clock, stubs, logs, events, keys } = world;
  const runs = (await store.listRuns({ limit: MOST })).toReversed();
  const newest = runs.at(-1);
  const trace = newest && await store.getRun(newest.id);
  const forms = await store.listForms({ state: "open", limit: MOST });
  const verdict = await verdictOf(world);
  // A function `if` is recorded as a step, but it is not one of the rule's steps.
  const asked = world.rule.if === "function";
  return {
    now: timeOf(clock.now()),
    runs: runs.map(({ state }) => state),
    ...verdict,
    forms: forms.map(seenForm),
    waits: trace?.run.waits?.map(seenWait) ?? [],
    steps: (trace?.steps ?? []).filter(({ path }) => !asked || path !== CONDITION_STEP).map(seenStep),
    calls: [...stubs.calls],
    logs: [...logs],
    events: [...events],
    response: world.response,
    output: trace?.run.output ?? null,
    error: trace?.run.error?.message ?? null,
    state: await store.getState([...keys], clock.now()),
  };
}

/** The rule's verdict on the last event; read again, because it may come later, for example from a function `if`. */
async function verdictOf({ lastReceipt, store }: World): Promise<Pick<Seen, "verdict" | "clause">> {
  if (lastReceipt === undefined) return { verdict: null, clause: null };
  const { event, delivery } = lastReceipt;
  if (delivery !== "accepted") return { verdict: delivery, clause: null };
  const records = await store.listEvents({ limit: LAST_EVENTS });
  const record = records.find(({ event: { source, id } }) => source === event.source && id === event.id);
  const verdict = (record?.verdicts ?? lastReceipt.verdicts)[0]?.verdict;
  // A run waited for it, and no rule listens to it.
  if (verdict === undefined) return { verdict: delivery, clause: null };
  return { verdict: verdict.kind, clause: verdict.kind === "condition" ? verdict.clause ?? null : null };
}

function seenForm({ step, title, to, fields, due }: Form): SeenForm {
  return { step, title, to, fields: Object.keys(fields), until: due === undefined ? null : timeOf(due) };
}

function seenWait({ step, kind, what, until }: StepWait): SeenWait {
  return { step, kind, what, until: until === undefined ? null : timeOf(until) };
}

function seenStep({ path, kind, state, attempts, input = null, output = null, error }: StepRecord): SeenStep {
  return { step: path, kind, state, attempts, input, output, error: error?.message ?? null };
}

/** Further facts that may explain a failed expectation. */
async function notesOn({ store, lastReceipt }: World): Promise<string[]> {
  const notes: string[] = [];
  for (const { verdict } of lastReceipt?.verdicts ?? []) {
    if (verdict.kind !== "started") notes.push(`the verdict is ${verdict.kind}: ${verdict.reason}`);
  }
  const [newest] = await store.listRuns({ limit: 1 });
  const { run, steps } = (newest && await store.getRun(newest.id)) ?? {};
  if (run?.error !== undefined) notes.push(`the run ${run.state}: ${run.error.message}`);
  else if (run?.waitingFor !== undefined) notes.push(`the run waits for ${run.waitingFor}`);
  else if (run?.state === "running") notes.push(`the run is executing; so far: ${stepsOf(steps)}`);
  const failures = (steps ?? []).flatMap(({ path, state, error }) =>
    state === "failed" && error ? [{ path, error }] : []
  );
  const failed = failures.filter(({ error }) => error.message !== run?.error?.message);
  for (const { path, error } of failed.slice(0, MOST_FAILURES)) notes.push(`step "${path}" failed: ${error.message}`);
  const more = failed.length - MOST_FAILURES;
  if (more > 0) notes.push(`${more} more steps failed`);
  return notes;
}

function stepsOf(steps: StepRecord[] = []): string {
  return steps.map(({ path, state }) => `${path} ${state}`).join(", ") || "no step";
}

function timeOf(time: number): string {
  return new Date(time).toISOString();
}

/**
 * Describes a failed test.
 * @param place in the test's file
 * @param world in its current state, if there is one
 */
export async function failureOf(
  error: unknown,
  { file, at }: { file: string; at: Position },
  world?: World,
): Promise<TestFailure> {
  const mismatches = error instanceof TestFailed ? error.mismatches : [];
  const notes = world === undefined ? [] : await notesOn(world);
  return { message: messageOf(error), file, at, mismatches, notes };
}
