import type { Delivered } from "./senders.ts";

/** A run as the program lists it, with the paths of its recorded steps. */
export interface ListedRun {
  id: string;
  rule: string;
  /** The id that its sender gave the event. */
  event: string;
  state: string;
  steps: string[];
  /** What its first step returned and its last one sent on, if the rule does that. */
  token?: string;
}

/** A request that a step made. */
export interface Call {
  rule: string;
  step: string;
  event: string;
  key: string;
  token?: string;
  idempotencyKey: string;
  /** Made by a program that had just been stopped and continued: it may have been under way. */
  isLate: boolean;
}

export interface History {
  /** The id of each event that the program lists, by rule. */
  events: Map<string, string[]>;
  runs: ListedRun[];
  /** In the order in which they arrived. */
  calls: Call[];
}

/** The steps of each rule, in order. */
export type Steps = Map<string, string[]>;

export interface Expected {
  steps: Steps;
  /** The rule whose runs of one key are executed one after the other, in the order of their events. */
  queued: string;
}

/**
 * Compares what senders were told with what is there, and with what was done outside.
 * @returns a sentence for each thing that is lost, doubled, or out of order
 */
export function checkHistory(delivered: Iterable<Delivered>, history: History, expected: Expected): string[] {
  const sent = [...delivered];
  return [
    ...checkEvents(sent, history, expected),
    ...checkRuns(sent, history, expected),
    ...checkCalls(history, expected),
    ...checkOrder(sent, history, expected),
  ];
}

function checkEvents(sent: Delivered[], { events }: History, { steps }: Expected): string[] {
  const faults = sent.filter(({ accepted }) => accepted > 1).map(({ id, accepted }) =>
    `event ${id} was accepted ${accepted} times`
  );
  for (const rule of steps.keys()) {
    const counts = countOf(events.get(rule) ?? []);
    for (const { id } of sent) {
      const count = counts.get(id) ?? 0;
      if (count !== 1) faults.push(`event ${id} is ${count} times at ${rule}`);
      counts.delete(id);
    }
    for (const id of counts.keys()) faults.push(`event ${id} at ${rule} was never sent`);
  }
  return faults;
}

function checkRuns(sent: Delivered[], { runs }: History, { steps }: Expected): string[] {
  const faults: string[] = [];
  const byEvent = Map.groupBy(runs, ({ event, rule }) => `${event} ${rule}`);
  for (const { id, runs: acknowledged } of sent) {
    const found = [...steps.keys()].flatMap((rule) => {
      const of = byEvent.get(`${id} ${rule}`) ?? [];
      if (of.length !== 1) faults.push(`event ${id} has ${of.length} runs of ${rule}`);
      return of.map((run) => run.id);
    });
    if (found.toSorted().join() !== acknowledged.toSorted().join()) {
      faults.push(`event ${id} was acknowledged with the runs ${acknowledged}, and has ${found}`);
    }
  }
  for (const { id, rule, state, steps: recorded } of runs) {
    if (state !== "succeeded") faults.push(`run ${id} of ${rule} is ${state}`);
    else if (recorded.join() !== steps.get(rule)!.join()) faults.push(`run ${id} of ${rule} has the steps ${recorded}`);
  }
  return faults;
}

/** Each step was executed, with one key, and not again once a later step was; except by a program that had been stopped. */
function checkCalls({ runs, calls }: History, { steps }: Expected): string[] {
  const faults: string[] = [];
  const byRun = Map.groupBy(calls, ({ event, rule }) => `${event} ${rule}`);
  for (const { event, rule, token } of runs) {
    const made = byRun.get(`${event} ${rule}`) ?? [];
    const name = `of ${rule} for ${event}`;
    for (
      const step of steps.get(rule)!.filter((step) => calls.some((call) => call.rule === rule && call.step === step))
    ) {
      const of = made.filter((call) => call.step === step);
      if (of.length === 0) faults.push(`step ${step} ${name} was never executed`);
      if (new Set(of.map(({ idempotencyKey }) => idempotencyKey)).size > 1) {
        faults.push(`step ${step} ${name} was executed under different keys`);
      }
      const tokens = new Set(of.map((call) => call.token).filter((token) => token !== undefined));
      if (tokens.size > 1 || tokens.size === 1 && [...tokens][0] !== token) {
        faults.push(`step ${step} ${name} sent ${[...tokens]}; recorded is ${token}`);
      }
    }
    let reached = 0;
    for (const { step } of made.filter(({ isLate }) => !isLate)) {
      const at = steps.get(rule)!.indexOf(step);
      if (at < reached) faults.push(`step ${step} ${name} was executed again after it was recorded`);
      reached = Math.max(reached, at);
    }
  }
  return faults;
}

/** In the runs of one key no step is executed once that of a later event was. */
function checkOrder(sent: Delivered[], { calls }: History, { queued }: Expected): string[] {
  const faults: string[] = [];
  const numbers = new Map([...Map.groupBy(sent, ({ key }) => key).values()].flatMap((of) => {
    return of.map(({ id }, index) => [id, index] as const);
  }));
  const last = new Map<string, { event: string; number: number }>();
  for (const { rule, event, key, isLate } of calls) {
    if (rule !== queued || isLate) continue;
    const number = numbers.get(event) ?? -1;
    const before = last.get(key);
    if (before !== undefined && number < before.number) {
      faults.push(`event ${event} of key ${key} was worked on after ${before.event}`);
    }
    if (before === undefined || number > before.number) last.set(key, { event, number });
  }
  return faults;
}

function countOf(all: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1);
  return counts;
}
