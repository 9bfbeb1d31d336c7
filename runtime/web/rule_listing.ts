import type { Rule, Trigger } from "../model/rule.ts";
import type { VerdictKind } from "../model/verdict.ts";
import type { LongEvaluation } from "../language/expressions/meter.ts";
import type { WebContext } from "./context.ts";

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
  const hook = { method: args.method as string, path: `/hooks${args.webhook}`, open: args.auth === "none" };
  return { id, kind, ...failure !== undefined && { failure }, ...kind === "webhook" && { hook } };
}
