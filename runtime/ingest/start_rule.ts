import type { Clock } from "../host/clock.ts";
import type { Event } from "../model/event.ts";
import { isAmong, type Person } from "../model/form.ts";
import { newId } from "../model/id.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Rule, Trigger } from "../model/rule.ts";
import type { Receipt } from "../store/store.ts";
import { readArgs } from "../language/kind.ts";
import { manual } from "../triggers/event_start_manual.ts";
import type { Ingest } from "./ingest.ts";
import { commandOfRule, problemsOfStart } from "../commands/command_rule.ts";
import { BY_HAND, byName, problemsOfGiven } from "./rule_inputs.ts";

/** The group of people who may do everything. */
export const OPERATORS = "operators";

/** A start by hand. */
interface Start {
  /** Who starts it; absent for an operator, who may start every rule. */
  person?: Person;
  /** The name recorded in the run. */
  by: string;
  /** The values of the rule's inputs. */
  inputs?: JsonObject;
  /** For a rule without inputs: the event's data. */
  data?: Json;
  subject?: string;
  /** Idempotency key: a second start with the same id is a duplicate of the first. */
  id?: string;
}

/** The outcome of a start. */
type Started =
  /** It was accepted; the receipt says whether a run started, and `duplicate` if the id was known. */
  | { kind: "accepted"; receipt: Receipt }
  /** There is no such rule. */
  | { kind: "unknown" }
  /** The person is not among those who may start it. */
  | { kind: "forbidden" }
  /** What is wrong with the inputs, by name; nothing has started. */
  | { kind: "invalid"; problems: Record<string, string> };

/** What {@link startRule} works with. */
interface StartContext {
  clock: Pick<Clock, "now">;
  rules: ReadonlyMap<string, Rule>;
  ingest: Pick<Ingest, "fromTrigger">;
}

/**
 * Starts a rule by hand, from any channel: checks who starts it and the inputs before anything happens.
 * @throws StoreFullError
 */
export async function startRule({ clock, rules, ingest }: StartContext, id: string, start: Start): Promise<Started> {
  const rule = rules.get(id);
  if (rule === undefined) return { kind: "unknown" };
  const trigger = triggerFor(rule, start.person);
  if (trigger === undefined) return { kind: "forbidden" };
  const { inputs = {}, data = null, by, subject } = start;
  const command = commandOfRule(rule);
  const problems = command === undefined
    ? problemsOfGiven(rule.inputs, trigger, inputs)
    : byName(problemsOfStart(command, inputs));
  if (problems !== undefined) return { kind: "invalid", problems };
  const event: Pick<Event, "id" | "type" | "data" | "by" | "subject"> = {
    id: start.id ?? newId(clock.now()),
    type: BY_HAND,
    data: rule.inputs === undefined && command === undefined ? data : inputs,
    by,
    ...subject !== undefined && { subject },
  };
  const [receipt] = await ingest.fromTrigger({ rule: id, trigger: trigger.id }, [event]);
  const verdict = receipt.verdicts[0]?.verdict;
  return verdict?.kind === "invalid" ? { kind: "invalid", problems: verdict.problems } : { kind: "accepted", receipt };
}

/** Whether a person may start a rule by hand; operators may start every rule. */
export function mayStart(rule: Rule, person: Person | undefined): boolean {
  return triggerFor(rule, person) !== undefined;
}

/** Who may start a rule by hand besides operators: people, groups and addresses. */
export function startersOf({ triggers }: Rule): string[] {
  return [...new Set(triggers.filter(({ kind }) => kind === "manual").flatMap(startersByTrigger))];
}

/**
 * The trigger through which a person starts a rule; for an operator the manual one, otherwise the first one. Undefined
 * if they may not start it.
 */
export function triggerFor({ triggers }: Rule, person: Person | undefined): Trigger | undefined {
  const byHand = triggers.filter(({ kind }) => kind === "manual");
  if (person !== undefined && !person.groups.includes(OPERATORS)) {
    return byHand.find((trigger) => isAmong(startersByTrigger(trigger), person));
  }
  return byHand[0] ?? triggers[0];
}

function startersByTrigger({ args }: Trigger): string[] {
  return readArgs(manual, args).to ?? [];
}
