import { type Context, Hono } from "hono";
import { z } from "zod";
import { callerInputs } from "../commands/check_set.ts";
import { commandOfRule } from "../commands/command_rule.ts";
import { mayStart, startersOf, startRule } from "../ingest/start_rule.ts";
import type { LongEvaluation } from "../language/expressions/meter.ts";
import { hintAtUnknown } from "../language/hints.ts";
import type { VerdictKind } from "../model/event.ts";
import type { Json } from "../model/json.ts";
import type { Field, Rule, Trigger } from "../model/rule.ts";
import type { Receipt } from "../store/store.ts";
import { type Asking, personOrOperator } from "./access.ts";
import { answerInvalid, answerMasked, answerRefusal, type EventAnswer, eventAnswer, refuseUse } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { bodyOf, personName, SOMEBODY } from "./request.ts";

/** One rule, or one file that does not load, for listings. */
export interface RuleListing {
  id: string;
  name?: string;
  file: string;
  language?: "yaml" | "typescript";
  version?: string;
  /** `kept`: the file does not load, the last good version stays in force. `broken`: there is none. */
  state: "on" | "disabled" | "paused" | "kept" | "broken";
  /** Why the state is not `on`. */
  reason?: string;
  triggers: TriggerListing[];
  /** The longest evaluation of its expressions since it was loaded, if one took over 100 ms of the program's thread. */
  longest?: LongEvaluation;
  /** Connections that it uses and that cannot be used, although they were connected. */
  connections?: { name: string; reason: string }[];
  /** How often each verdict was given. */
  verdicts: Partial<Record<VerdictKind, number>>;
}

export interface TriggerListing {
  id: string;
  kind: string;
  /** Why its last pass failed. */
  failure?: string;
  /** Where a webhook listens; `open` if its `auth` is `none`. */
  hook?: { method: string; path: string; open: boolean };
}

/** All rules, in order of their ids. */
export async function listRules(context: Pick<WebContext, "rules" | "store" | "connections">): Promise<RuleListing[]> {
  const { rules, broken, problems, paused, failures, longest } = context.rules();
  const verdicts = await context.store.countVerdicts();
  const unusable = context.connections.list().filter(({ state }) => state === "lost" || state === "locked");
  const brokenIds = new Set(broken.values());
  const listing = [...rules.values()].map((rule): RuleListing => {
    const { id, name, file, language, version } = rule;
    const triggers = rule.triggers.map((trigger) => {
      return listTrigger(
        trigger,
        failures.find((failed) => failed.rule === id && failed.trigger === trigger.id)?.message,
      );
    });
    const used = unusable.length === 0 ? new Set() : connectionsOf(rule);
    const connections = unusable.filter(({ name }) => used.has(name)).map(({ name, reason = "" }) => ({
      name,
      reason,
    }));
    const longestOfRule = longest(id);
    const facts = {
      id,
      ...name !== undefined && { name },
      file,
      language,
      version,
      triggers,
      ...connections.length > 0 && { connections },
      ...longestOfRule && { longest: longestOfRule },
      verdicts: verdicts[id] ?? {},
    };
    if (brokenIds.has(id)) {
      return { ...facts, state: "kept", reason: "the file does not load; its last good version stays live" };
    }
    if (paused[id] !== undefined) return { ...facts, state: "paused", reason: paused[id] };
    if (!rule.enabled) return { ...facts, state: "disabled", reason: "enabled: false" };
    return { ...facts, state: "on" };
  });
  for (const [file, id] of broken) {
    if (rules.has(id)) continue;
    const reason = problems.find((problem) => problem.file === file && problem.severity === "error")?.message;
    listing.push({ id, file, state: "broken", ...reason && { reason }, triggers: [], verdicts: verdicts[id] ?? {} });
  }
  return listing.sort((a, b) => a.id < b.id ? -1 : 1);
}

/**
 * Why there can be nothing about a rule: it does not exist, and never did as far as the store knows.
 * @returns undefined if there is such a rule, or `rule` is undefined
 */
export async function faultOfRule(
  { rules, store }: Pick<WebContext, "rules" | "store">,
  rule: string | undefined,
): Promise<string | undefined> {
  if (rule === undefined) return undefined;
  const { startable, broken, configs } = rules();
  const known = new Set([...startable.keys(), ...broken.values(), ...configs.keys()]);
  for (const id of Object.keys(await store.countVerdicts())) known.add(id);
  if (known.has(rule) || (await store.getInForce([rule])).length > 0) return undefined;
  return `There is no rule "${rule}"; ${hintAtUnknown(rule, [...known].sort())}`;
}

/** The names of the connections in a rule's triggers, steps and actions. Code names its own only when it runs. */
function connectionsOf({ triggers, then, onError, actions }: Rule): Set<unknown> {
  const names = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { auth } = value as { auth?: { connection?: unknown } };
    if (auth?.connection !== undefined) names.add(auth.connection);
    Object.values(value).forEach(visit);
  };
  [triggers, then, onError, actions].forEach(visit);
  return names;
}

function listTrigger({ id, kind, args }: Trigger, failure: string | undefined): TriggerListing {
  const hook = { method: [args.method].flat().join(", "), path: `/hooks${args.webhook}`, open: args.auth === "none" };
  return { id, kind, ...failure !== undefined && { failure }, ...kind === "webhook" && { hook } };
}

// ── the start by hand ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The answer of `GET /api/rules/<id>/start`: what a start of the rule takes. */
export interface Startable {
  rule: string;
  name?: string;
  inputs: Record<string, Field>;
  /** Who may start it besides operators. */
  to: string[];
}

/** The answer of `POST /api/rules/<id>/start`. */
export type StartAnswer = EventAnswer & Pick<Receipt, "verdicts">;

export const START = z.strictObject({
  inputs: z.record(z.string(), z.custom<Json>()).default({}),
  data: z.custom<Json>().default(null),
  subject: z.string().min(1).max(1_000).optional(),
  id: z.string().min(1).max(200).optional(),
  by: personName.default(SOMEBODY),
});

const PATH = "/rules/:id{.+}/start";

/** `/api/rules/<id>/start`: starts a rule by hand, for operators and for people with a token. */
export function startApi(context: WebContext): Hono<Asking> {
  const app = new Hono<Asking>();
  app.use(PATH, personOrOperator(context));
  app.get(PATH, (c) => {
    const id = c.req.param("id");
    const rule = context.rules().startable.get(id);
    if (rule === undefined || !mayStart(rule, c.get("person"))) return absent(c, id, context);
    const { name } = rule;
    const command = commandOfRule(rule);
    const inputs = command === undefined ? rule.inputs ?? {} : callerInputs(command);
    const startable: Startable = { rule: id, ...name !== undefined && { name }, inputs, to: startersOf(rule) };
    return answerMasked(c, context, startable);
  });
  app.post(PATH, async (c) => {
    const id = c.req.param("id");
    const person = c.get("person");
    const { by, ...given } = await bodyOf(c, START);
    const { clock, ingest } = context;
    const start = { ...given, by: person?.id ?? by, ...person && { person } };
    const started = await startRule({ clock, ingest, rules: context.rules().startable }, id, start);
    switch (started.kind) {
      case "accepted": {
        const { receipt } = started;
        const answer: StartAnswer = { ...eventAnswer([receipt]), verdicts: receipt.verdicts };
        const status = receipt.delivery === "duplicate" ? 200 : 202;
        return answerMasked(c, context, answer, status);
      }
      case "unknown":
      case "forbidden":
        return absent(c, id, context);
      case "invalid":
        return answerInvalid(c, context, "The inputs are", started.problems);
    }
  });
  return app;
}

function absent(c: Context<Asking>, id: string, context: WebContext): Response {
  const person = c.get("person");
  const known = [...context.rules().startable.values()].filter((rule) => mayStart(rule, person)).map(({ id }) => id);
  const { status, error } = refuseUse(person, {
    absent: `Cannot start the rule "${id}": there is none with that id`,
    verb: "start",
    what: `a rule "${id}"`,
    known,
  });
  return answerRefusal(c, context, status, error);
}
