import { formatDuration } from "../../model/duration.ts";
import { messageOf } from "../../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { InterruptedError } from "../../workers/workers.ts";
import { keepGoing } from "../timetable.ts";
import type { Detach } from "../trigger.ts";
import { type PollContext, type Reading } from "./poll_args.ts";
import { askedBackOff, knownMark, readPollMark, takeReading } from "./poll_pass.ts";
import { ItemLimit, settingsOf } from "./poll_settings.ts";
import { readEmitted } from "./read_pages.ts";
import { tellStagnant } from "./stagnant.ts";

/** The pauses before `listen` is called again: doubled each time, up to the longest. */
const PAUSE = 1_000;
const LONGEST_PAUSE = 300_000;
/** A connection that lasted so long was a good one. */
const STEADY = 60_000;
/** Without an error for so long, it counts as connected, even if nothing came. */
const CONNECTED = 10_000;

/** Whether a poll's source pushes. */
export function isListening({ source }: PollContext): boolean {
  return source?.methods.includes("listen") ?? false;
}

/** Keeps `listen` of a source running; what it emits is stored in order, one after another. */
export function attachListening(context: PollContext): Detach {
  const emitted = new Emitted(context);
  let failures = 0;
  const session = keepGoing(context, async () => {
    const { clock, signal } = context;
    const startedAt = clock.now();
    const cancel = clock.after(CONNECTED, () => context.report(null));
    let failure: unknown = new Error("it returned");
    try {
      await listenOnce(context, emitted);
    } catch (error) {
      failure = error;
    } finally {
      cancel();
    }
    if (signal.aborted) return undefined;
    const now = clock.now();
    // Another rule that listens with this module was to blame.
    if (failure instanceof InterruptedError) {
      context.log.warn(
        `${context.trigger.id}: ${failure.message}; listen is called again after ${formatDuration(PAUSE)}`,
      );
      return now + PAUSE;
    }
    failures = now - startedAt >= STEADY ? 0 : failures;
    const pause = Math.min(PAUSE * 2 ** failures++, LONGEST_PAUSE);
    const next = Math.max(now + pause, askedBackOff(failure, now) ?? 0);
    context.report(`listen ended: ${messageOf(failure)}; it is called again after ${formatDuration(next - now)}`);
    return next;
  });
  const looks = context.args.stagnant === undefined ? undefined : keepGoing(context, async () => {
    await emitted.judge();
    return context.clock.now() + context.args.every;
  });
  return async () => {
    await Promise.all([session.detach(), looks?.detach()]);
  };
}

/** One call of `listen`, outside of the program: in tests its stub answers what it emits. */
export async function listenForTest(context: PollContext): Promise<void> {
  await listenOnce(context, new Emitted(context));
}

async function listenOnce(context: PollContext, emitted: Emitted): Promise<void> {
  const { args: { poll }, signal } = context;
  const mark = knownMark(context, await readPollMark(context));
  const output = await context.execute(poll as JsonObject, { cursor: mark?.cursor ?? null }, signal, {
    method: "listen",
    emit: (page) => emitted.take(page),
  });
  // The answer of a stub.
  if (Array.isArray(output) || (isObject(output) && "items" in output)) await emitted.take(output);
}

/** Stores what is emitted. */
class Emitted {
  #last: Promise<unknown> = Promise.resolve();

  constructor(private readonly context: PollContext) {}

  /** Resolves when it is on disk, with its cursor. */
  take(page: Json): Promise<void> {
    return this.#inOrder(async () => {
      const { context } = this;
      context.signal.throwIfAborted();
      const { items, removed, cursor } = readEmitted(page);
      new ItemLimit({ max: settingsOf(context).max }).add(items.length);
      const stored = await readPollMark(context);
      const next = cursor ?? knownMark(context, stored)?.cursor;
      const reading: Reading = {
        items,
        removed: new Map(removed.map((key) => [key, items.length])),
        incremental: true,
        complete: true,
        isFeed: false,
        inOrder: true,
        isPushed: true,
        ...next !== undefined && next !== null && { cursor: next },
      };
      await takeReading(context, reading, stored, context.clock.now());
      context.report(null);
    });
  }

  /** Tells what did not change for long. */
  judge(): Promise<void> {
    return this.#inOrder(async () => {
      const mark = knownMark(this.context, await readPollMark(this.context));
      if (mark !== undefined) await tellStagnant(this.context, mark.began);
    });
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
