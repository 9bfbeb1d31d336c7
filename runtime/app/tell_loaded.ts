import type { Loaded } from "../folder/loaded.ts";
import { CONFIG_SOURCE } from "../folder/settings/config_source.ts";
import type { About, OwnEvents } from "../ingest/own_events.ts";
import type { JsonObject } from "../model/json.ts";
import type { Trigger } from "../model/rule.ts";

/** Tells what a load has found: files that do not load, config values that are not used; and what is over. */
export function tellLoaded(loaded: Loaded, ownEvents: Pick<OwnEvents, "begin" | "forget">): void {
  tellBroken(loaded, ownEvents);
  tellRefused(loaded, ownEvents);
  const exists = ({ rule, trigger }: About) =>
    rule === CONFIG_SOURCE.rule || loaded.fleets.has(rule) ||
    loaded.rules.get(rule)?.triggers.some(({ id }) => id === trigger) === true;
  for (const kind of ["poll", "capped"] as const) ownEvents.forget(kind, exists);
  const paths = new Set([...loaded.rules.values()].flatMap(({ triggers }) => triggers.map(hookOf)));
  ownEvents.forget("hook", ({ path }) => paths.has(path));
}

/** The path of a webhook, or of the hook beside a poll. */
function hookOf({ args }: Trigger): unknown {
  return args.webhook ?? (args.hook as JsonObject | undefined)?.webhook;
}

function tellBroken({ broken, problems }: Loaded, ownEvents: Pick<OwnEvents, "begin" | "forget">): void {
  for (const file of broken.keys()) {
    const found = problems.filter((problem) => problem.file === file).map(({ message }) => message);
    ownEvents.begin("broken", { file }, found[0] ?? "It does not load", { problems: found });
  }
  ownEvents.forget("broken", ({ file }) => broken.has(file));
}

/** Conditions about a rule that cannot be checked stay as they are. */
function tellRefused(
  { refused, configs, broken, late }: Loaded,
  ownEvents: Pick<OwnEvents, "begin" | "forget">,
): void {
  for (const { rule, key, reason, from, by } of refused) {
    ownEvents.begin("config", { rule, key }, reason, { from, ...by !== undefined && { by } });
  }
  const unchecked = new Set([...broken.values(), ...late.values()].filter((id) => !configs.has(id)));
  const isRefused = (about: About) => refused.some(({ rule, key }) => rule === about.rule && key === about.key);
  ownEvents.forget("config", (about) => unchecked.has(about.rule) || isRefused(about));
}
