import { compile } from "../language/expressions/expression.ts";
import { templatesIn } from "../language/expressions/check_expression.ts";
import { type Fleet, type FleetTask, type PingSettings, PLATFORM_METHODS } from "../model/fleet.ts";
import { isError, type Problem } from "../model/problem.ts";
import type { Definition } from "../model/rule.ts";
import { definitionKey } from "../model/target.ts";
import { calleeOf } from "./calls.ts";
import { type Callables, type Called, follow } from "./follow_calls.ts";
import { type CheckedFleet, TASK_TIMEOUT } from "./fleet_file.ts";
import type { Loaded } from "./loaded.ts";
import { idOfPath, type Source, versionOfData } from "./source_file.ts";

/** Adds the code that a fleet calls. @returns undefined if it does not load; `problems` receives the reasons */
function assembleFleet(checked: CheckedFleet, callables: Callables, problems: Problem[]): Fleet | undefined {
  const { source: { file, origin }, calls, fleet, platform: named } = checked;
  problems.push(...checked.problems);
  const called = follow(file, calls, callables, origin);
  const found = [...called.problems];
  const { modules, commands, definitions, late } = called;
  const platform = named === undefined ? undefined : readPlatform(checked, named, called, callables, found);
  for (const [task, { call }] of Object.entries(fleet?.tasks ?? {})) {
    if (call === undefined || called.actions[calleeOf(callables.folder, file, call.call).path] === undefined) continue;
    const at = origin.at(["tasks", task, "call"], "value");
    const message = `${call.call} is an action with steps, which a device's task cannot run`;
    const hint = "call a function or a command here, or the action in a rule";
    found.push({ severity: "error", file, at, message, hint });
  }
  const module = platform?.tasks ?? {};
  for (const task of Object.keys(fleet?.tasks ?? {}).filter((task) => Object.hasOwn(module, task))) {
    const at = origin.at(["tasks", task], "key");
    found.push({ severity: "error", file, at, message: `the module has a task ${task} already`, hint: "rename it" });
  }
  problems.push(...found);
  const wrong = [...checked.problems, ...found].some(isError);
  if (fleet === undefined || late || wrong) return undefined;
  const inventory = { ...fleet.inventory, actions: {}, commands, definitions, modules };
  const whole = {
    ...fleet,
    ...platform && { platform: platform.platform },
    ...pingOf(fleet.ping, platform?.platform?.methods.includes("ping") ?? false),
    tasks: { ...ofModule(module), ...fleet.tasks },
  };
  const version = versionOfData([whole, inventory]);
  return {
    ...whole,
    version,
    platformVersion: versionOfData(whole.platform ?? null),
    inventory: { ...inventory, version },
  };
}

/** A ping of the module needs no settings. The check reports settings if neither the module nor the file pings. */
function pingOf(ping: PingSettings | undefined, byModule: boolean): { ping?: PingSettings } {
  if (ping === undefined) return byModule ? { ping: { every: [8_000, 10_000], timeout: 10_000, down: 2 } } : {};
  return ping.by === undefined && !byModule ? { ping: undefined } : { ping };
}

function readPlatform(
  { source: { file, origin } }: CheckedFleet,
  named: string,
  { modules, definitions }: Called,
  { folder }: Callables,
  found: Problem[],
): { platform: Fleet["platform"]; tasks: Definition["tasks"] } | undefined {
  const callee = calleeOf(folder, file, named);
  const code = modules[callee.path];
  if (code === undefined) return undefined;
  const definition = definitions[definitionKey(callee)];
  if (definition?.kind !== "device") {
    const at = origin.at(["device"], "value");
    const hint = "write export default device({ … }) in it";
    found.push({ severity: "error", file, at, message: `${named.replace(/#default$/, "")} is no platform`, hint });
    return undefined;
  }
  const methods = PLATFORM_METHODS.filter((method) => definition.methods.includes(method));
  return { platform: { file: callee.path, name: callee.name!, code, methods }, tasks: definition.tasks };
}

function ofModule(tasks: NonNullable<Definition["tasks"]>): Record<string, FleetTask> {
  return Object.fromEntries(
    Object.entries(tasks).map(([name, task]) => [name, { name, max: 1, timeout: TASK_TIMEOUT, ...task }]),
  );
}

/** The fleets that load, and the last good versions of those that do not, by id. */
export function assembleFleets(
  checked: CheckedFleet[],
  callables: Callables,
  unreadable: Source[],
  previous: ReadonlyMap<string, Fleet> | undefined,
  problems: Problem[],
): Map<string, Fleet> {
  const fresh = checked.map((each): [string, Fleet | undefined] => [
    idOfPath(each.source.file),
    assembleFleet(each, callables, problems),
  ]);
  const all = [...fresh, ...unreadable.map(({ file }): [string, undefined] => [idOfPath(file), undefined])];
  return new Map(all.flatMap(([id, fleet]) => {
    const known = previous?.get(id);
    const inForce = fleet === undefined || fleet.version === known?.version ? known : fleet;
    return inForce === undefined ? [] : [[id, inForce]];
  }));
}

/** See {@link Loaded.unreadFleets}. */
export function unreadFleets(
  files: { isFolder?: true }[],
  mayBe: { file: string }[],
  fleets: ReadonlyMap<string, Fleet>,
): Loaded["unreadFleets"] {
  if (files.some(({ isFolder }) => isFolder)) return undefined;
  return new Set(mayBe.map(({ file }) => idOfPath(file)).filter((id) => !fleets.has(id)));
}

/** Names of the secrets that the templates of fleets use. */
export function fleetSecrets(fleets: ReadonlyMap<string, Fleet>): string[] {
  const texts = [...fleets.values()].flatMap(({ ping, tasks }) =>
    templatesIn([ping?.by ?? null, ...Object.values(tasks).map(({ call }) => call ?? null)])
  );
  const found = texts.flatMap((text) => compile(text).references).filter(({ path: [root] }) => root === "secrets");
  return [...new Set(found.flatMap(({ path: [, name] }) => name ?? []))];
}
