import { formatDuration } from "../../model/duration.ts";
import { messageOf } from "../../model/errors.ts";
import { isObject, type Json } from "../../model/json.ts";
import { InterruptedError } from "../../workers/workers.ts";
import { checkInterval } from "../cron_every_at.ts";
import { keepGoing } from "../timetable.ts";
import { defineTrigger, type Detach, type Hook } from "../trigger.ts";
import { checkHook } from "../webhook.ts";
import type { WebhookArgs } from "../webhook_request.ts";
import {
  cappedBy,
  isCommandFile,
  ItemLimit,
  type PollContext,
  type Reading,
  type ReadPollArgs,
  schemas,
  settingsOf,
  stepOf,
} from "./poll_args.ts";
import { askedBackOff, knownMark, type PollMark, pollOnce, readPollMark, takeReading } from "./poll_pass.ts";
import { readEmitted } from "./read_pages.ts";
import { checkStagnant, emitStagnant } from "./stagnant.ts";

/** A stored time may be this far ahead, because the clock was corrected in small steps. */
const CLOCK_SLACK = 60_000;

/** Reads a source at intervals, and emits what was added, changed or removed since the last read. */
export const poll = defineTrigger({
  ...schemas,
  summary: "Polls a URL or a step, and emits what changed",
  address: (args) => `poll ${addressOf(args)}`,
  check: (
    args,
  ) => [
    ...checkInterval(args.every),
    ...checkSource(args),
    ...args.hook ? checkHook(args.hook) : [],
    ...checkStagnant(args),
    ...checkIgnore(args),
  ],
  attach,
  follow: (context, passOn) => isListening(context) ? () => {} : addHook(context, passOn),
  async pass(context) {
    if (isListening(context)) return await passListening(context);
    const mark = await readPollMark(context);
    const until = mark === undefined ? 0 : backOffUntil(mark, context.clock.now());
    if (until > context.clock.now()) {
      context.log.info(`${context.trigger.id} is not polled before ${mark!.notBefore}, as its source asked`);
      return;
    }
    await pollOnce(context);
    context.report(null);
  },
});

/** Polls at its intervals, and at once after a delivery to its hook. Several deliveries during a look cause one more look. */
function attach(context: PollContext): Detach {
  if (isListening(context)) return attachListening(context);
  let asked = false;
  const { wake, detach } = keepGoing(context, () => {
    const isAsked = asked;
    asked = false;
    return pollWhenDue(context, isAsked);
  });
  const remove = addHook(context, () => {
    asked = true;
    wake();
  });
  return async () => {
    await remove();
    await detach();
  };
}

/** Registers the hook of a poll, if it has one. */
function addHook({ args: { hook }, rule, trigger, hooks }: PollContext, nudge: Hook["nudge"]): Detach {
  if (hook === undefined) return () => {};
  const { webhook, ...auth } = hook;
  const args: WebhookArgs = { webhook, ...auth, ...HOOK_DEFAULTS };
  return hooks.add({ rule: rule.id, trigger: trigger.id, path: webhook, args, at: trigger.at, nudge });
}

async function passListening(context: PollContext): Promise<void> {
  if (!context.once) return await listenForTest(context);
  context.log.info(`${context.trigger.id} listens, so a single pass does nothing for it`);
}

/** The options that a hook does not have. */
const HOOK_DEFAULTS: Pick<WebhookArgs, "method" | "replyWithin" | "maxBody"> = {
  method: "POST",
  replyWithin: 10_000,
  maxBody: 1_000_000,
};

/**
 * @param isAsked whether it polls now, unless the source asked for a pause
 * @returns when the next poll is due
 */
async function pollWhenDue(context: PollContext, isAsked: boolean): Promise<number> {
  const { clock } = context;
  const mark = await readPollMark(context);
  const now = clock.now();
  const interval = context.args.every;
  const due = mark === undefined ? now : dueAfter(context, mark, isAsked ? 0 : interval, now);
  if (due > now) return due;
  try {
    await pollOnce(context);
    context.report(null);
    return now + interval;
  } catch (error) {
    if (!context.signal.aborted) context.report(messageOf(error), cappedBy(error));
    return Math.max(now + interval, askedBackOff(error, clock.now()) ?? 0);
  }
}

function dueAfter(context: PollContext, mark: PollMark, interval: number, now: number): number {
  if (isAhead(mark, now)) {
    context.log.warn(
      `${context.trigger.id} was last polled at ${mark.polled}, which is in the future: it continues from now`,
    );
    return now;
  }
  return Math.max(Date.parse(mark.polled) + interval, backOffUntil(mark, now));
}

/** The time before which the source asked not to be polled. */
function backOffUntil(mark: PollMark, now: number): number {
  return mark.notBefore === undefined || isAhead(mark, now) ? 0 : Date.parse(mark.notBefore);
}

function isAhead(mark: PollMark, now: number): boolean {
  return Date.parse(mark.polled) > now + CLOCK_SLACK;
}

function addressOf({ poll }: ReadPollArgs): string {
  if (typeof poll === "string") return poll;
  const [kind, main] = Object.entries(poll)[0];
  // A source in the code of the rule itself.
  if (kind === "call" && String(main).startsWith("#")) return `call ${String(main).slice(1)}`;
  return `${kind} ${Array.isArray(main) ? main.join(" ") : main}`;
}

/** Paths are those within an item; only where an item has a key "item" is that meant, and then `item.item`. */
function checkIgnore({ ignore = [] }: ReadPollArgs): string[] {
  return ignore.filter((path) => /^item\.(?!item\b)/.test(path)).map((path) =>
    `ignore: ${JSON.stringify(path)} would be a key "item" within each item; write ${JSON.stringify(path.slice(5))}`
  );
}

function checkSource({ poll, headers, auth, pages, format, charset }: ReadPollArgs): string[] {
  const problems: string[] = [];
  const isUrl = typeof poll === "string";
  if (!isUrl && headers !== undefined) problems.push(`"headers" belongs in the step, beside "http"`);
  if (!isUrl && auth !== undefined) problems.push(`auth: "auth" belongs in the step, beside "http" or "call"`);
  if (!isUrl && pages !== undefined && !("http" in poll)) problems.push(`"pages" needs a URL to poll`);
  const hasText = isUrl || "http" in poll || "run" in poll || isCommandFile(poll);
  if (format !== undefined && !hasText) {
    problems.push(`"format" parses text; a step such as "call" returns parsed data`);
  }
  if (charset !== undefined && !hasText) {
    problems.push(`"charset" decodes bytes; a step such as "call" returns parsed data`);
  }
  if (!isUrl && "save" in poll) {
    problems.push(`"save" writes to a run's folder, and a poll has no run`);
  }
  if (!isUrl && "keep" in poll) {
    problems.push(`"keep" leaves out items, which would count as removed`);
  }
  return problems;
}

/** The pauses before `listen` is called again: doubled each time, up to the longest. */
const PAUSE = 1_000;
const LONGEST_PAUSE = 300_000;
/** After a connection that lasted so long, the pauses begin anew. */
const STEADY = 60_000;
/** A source without an error for so long counts as connected, even if it sent nothing. */
const CONNECTED = 10_000;

/** Whether a poll's source pushes. */
function isListening({ source }: PollContext): boolean {
  return source?.methods.includes("listen") ?? false;
}

/** Keeps `listen` of a source running; what it emits is stored in order, one after another. */
function attachListening(context: PollContext): Detach {
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

/** One call of `listen` in a test: its stub answers what it emits. */
async function listenForTest(context: PollContext): Promise<void> {
  await listenOnce(context, new Emitted(context));
}

async function listenOnce(context: PollContext, emitted: Emitted): Promise<void> {
  const { args: { poll }, signal } = context;
  const mark = knownMark(context, await readPollMark(context));
  const output = await context.execute(stepOf(poll), { cursor: mark?.cursor ?? null }, signal, {
    method: "listen",
    emit: (page) => emitted.take(page),
  });
  // The answer of a stub.
  if (Array.isArray(output) || (isObject(output) && "items" in output)) await emitted.take(output);
}

/** Stores what `listen` emits, in order. */
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

  /** Emits events for items that did not change for long. */
  judge(): Promise<void> {
    return this.#inOrder(async () => {
      const mark = knownMark(this.context, await readPollMark(this.context));
      if (mark !== undefined) await emitStagnant(this.context, mark.began);
    });
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
