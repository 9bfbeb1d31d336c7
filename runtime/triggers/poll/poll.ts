import { checkInterval } from "../every.ts";
import { messageOf } from "../../model/errors.ts";
import { keepGoing } from "../timetable.ts";
import { isCommandFile, type PollContext, type ReadPollArgs, schemas } from "./poll_args.ts";
import { askedBackOff, type PollMark, pollOnce, readPollMark } from "./poll_pass.ts";
import { attachListening, isListening, listenForTest } from "./listen.ts";
import { cappedBy } from "./poll_settings.ts";
import { checkStagnant } from "./stagnant.ts";
import type { WebhookArgs } from "../webhook/webhook_request.ts";
import { checkHook } from "../webhook/webhook.ts";
import { defineTrigger, type Detach } from "../trigger.ts";

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
  ],
  attach,
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

/** Polls at its intervals, and at once after a delivery to its hook: several during a look are one more look. */
function attach(context: PollContext): Detach {
  if (isListening(context)) return attachListening(context);
  let asked = false;
  const { wake, detach } = keepGoing(context, () => {
    const isAsked = asked;
    asked = false;
    return pollWhenDue(context, isAsked);
  });
  const { args: { hook }, rule, trigger } = context;
  if (hook === undefined) return detach;
  const { webhook, ...auth } = hook;
  const args = { webhook, ...auth, ...HOOK_DEFAULTS } as WebhookArgs;
  const nudge = () => {
    asked = true;
    wake();
  };
  const remove = context.hooks.add({ rule: rule.id, trigger: trigger.id, path: webhook, args, at: trigger.at, nudge });
  return async () => {
    remove();
    await detach();
  };
}

async function passListening(context: PollContext): Promise<void> {
  if (!context.once) return await listenForTest(context);
  context.log.info(`${context.trigger.id} listens, so a single pass does nothing for it`);
}

/** What a webhook has where a hook says nothing. */
const HOOK_DEFAULTS = { method: "POST", replyWithin: 10_000, maxBody: 1_000_000 };

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
