import { newId } from "../model/id.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Mismatch, TestEntry } from "../model/test.ts";
import { findTrigger } from "../language/checker/check_tests.ts";
import { findMismatches } from "../language/expectation.ts";
import { type Args, resolvedArgs } from "../language/kind.ts";
import { type Advance, testKinds } from "../language/checker/test_kinds.ts";
import { changeData } from "../triggers/poll/poll_changes.ts";
import { answer, skip } from "./answer.ts";
import { requestOf, type SentRequest } from "./request.ts";
import { look } from "./seen.ts";
import { TestFailed } from "./test_failed.ts";
import type { World } from "./world.ts";

/**
 * Performs one entry of a test, until nothing more happens before the clock moves.
 * @throws TestFailed
 */
export async function performEntry(world: World, { kind, args }: Omit<TestEntry, "at">): Promise<void> {
  switch (kind) {
    case "send":
      await send(world, resolvedArgs(testKinds.send, args).send);
      break;
    case "advance":
      await advance(world, resolvedArgs(testKinds.advance, args).advance);
      break;
    case "answer":
      await answer(world, resolvedArgs(testKinds.answer, args));
      break;
    case "skip":
      await skip(world, resolvedArgs(testKinds.skip, args).skip);
      break;
    case "expect":
      return expect(findMismatches(args.expect as JsonObject, await look(world), args.exact === true));
  }
  await world.settled();
  const [trouble] = [...world.stubs.missing, ...world.troubles];
  if (trouble !== undefined) throw new TestFailed(trouble);
}

function expect(mismatches: Mismatch[]): void {
  if (mismatches.length > 0) throw new TestFailed("not as expected", mismatches);
}

async function advance(world: World, advance: Advance): Promise<void> {
  const now = world.clock.now();
  const to = "by" in advance ? now + advance.by : advance.to;
  if (to < now) throw new TestFailed(`The clock does not go back: it is ${new Date(now).toISOString()} by now`);
  await world.advanceTo(to);
}

async function send(world: World, sent: Args<typeof testKinds.send>["send"]): Promise<void> {
  if ("webhook" in sent) return await sendRequest(world, sent);
  const { type, trigger, data = null, id = newId(world.clock.now()), source, ...more } = sent;
  const { rule, ingest } = world;
  if (trigger !== undefined) {
    const { id: key, kind } = findTrigger(rule.triggers, trigger)!;
    const event = { id, ...more, ...source !== undefined && { source }, ...eventOf(world, kind, type, data) };
    await ingest.fromTrigger({ rule: rule.id, trigger: key }, [event]);
  } else if (type !== undefined) await ingest.publish({ id, source: source ?? "/test", type, data, ...more });
  else await ingest.trigger(rule.id, { id, data, ...more, ...source !== undefined && { source } });
}

/** The event that a trigger of this kind emits, completing what the test leaves out. */
function eventOf(world: World, kind: string, type: string | undefined, data: Json): { type: string; data: Json } {
  if (kind === "poll" || kind === "watch") {
    const { old = null, new: item = null } = (data ?? {}) as JsonObject;
    const change = old === null ? "added" : item === null ? "removed" : "changed";
    if (kind === "watch") return { type: type ?? change, data };
    return {
      type: type ?? change,
      data: { ...changeData({ type: change, key: "", old, new: item }, []), ...data as JsonObject },
    };
  }
  const isTime = kind === "cron" || kind === "every" || kind === "at";
  const scheduled = { scheduled: new Date(world.clock.now()).toISOString() };
  return { type: type ?? kind, data: data ?? (isTime ? scheduled : null) };
}

/** The answer may have to wait for the clock: it is recorded when it arrives. */
async function sendRequest(world: World, sent: SentRequest): Promise<void> {
  world.response = null;
  const answered = world.request(requestOf(world, sent)).then((response) => void (world.response = response));
  answered.catch((error) => world.troubles.push(`The request to ${sent.webhook} failed: ${error}`));
  await world.settled();
}
