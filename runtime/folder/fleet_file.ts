import { z } from "zod";
import { checkArgs, checkLiteral } from "../language/checker/check_args.ts";
import { type CheckedRule, type Known } from "../language/checker/check_rule.ts";
import { Checking } from "../language/checker/checking.ts";
import type { Visible } from "../language/expressions/check_expression.ts";
import { command, duration, expression, json, people, target, template, url } from "../language/arg_types.ts";
import { readFields } from "../language/fields/read_fields.ts";
import { show } from "../language/hints.ts";
import { type Args, defineKind, type Kinds, resolvedArgs } from "../language/kind.ts";
import type { Fleet, FleetTask, PingSettings } from "../model/fleet.ts";
import { parseDuration } from "../model/duration.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { guarded, isError, type Problem } from "../model/problem.ts";
import { isTarget } from "../model/target.ts";
import { type Call, callsInRaw } from "./calls.ts";
import { INVENTORY, readInventory, UNRESOLVED } from "./fleet_inventory.ts";
import { type FleetSource, idOfPath } from "./source_file.ts";

/** Keys of a fleet file. */
export const FLEET_KEYS = ["name", "help", "devices", "key", "tags", "device", "ping", "init", "tasks"];

/** Keys that make a file one of another kind. */
const OTHER_KINDS = ["when", "then", "command", "inputs", "output"];

/** Milliseconds. */
export const TASK_TIMEOUT = 30_000;
const DEVICE_NAMES = ["device", "env", "secrets"];

const count = z.number().int().min(1);
const seconds = duration();

/** The keys of a fleet file besides `devices` and `tasks`. */
export const fleetKind = defineKind({
  kind: INVENTORY,
  summary: "Devices that are looked after: a list, { watch }, { poll } or { call }",
  main: z.unknown(),
  options: {
    name: z.string().optional().describe("Its name for people"),
    help: z.string().optional().describe("A sentence that explains it"),
    key: expression({ names: ["item", "index"] }).optional().describe("A device's name, as in item.name"),
    tags: expression({ names: ["item"] }).optional().describe("A device's tags: a list, or one text"),
    device: z.string().refine((text) => isTarget(targetOf(text)), {
      error: "expected a platform, such as ./plc.ts or package#export",
    }).optional().describe("The TypeScript module that speaks to the devices, as in ./plc.ts"),
    ping: z.strictObject({
      tcp: template().optional().describe('Connects to "host:port"'),
      http: url().optional().describe("Requests a URL; a status below 400 is an answer"),
      run: command().optional().describe("Runs a program; exit code 0 is an answer"),
      every: z.unknown().optional().describe(
        "The time between two pings: 10s, or [8s, 10s] for a random time between; by default [8s, 10s]",
      ),
      timeout: seconds.optional().describe("By default 10s"),
      down: count.optional().describe("How many failed pings in a row make a device dead; by default 2"),
    }).optional(),
    init: z.strictObject({
      timeout: seconds.optional().describe("By default 25s"),
      max: count.optional().describe("The most inits at once; by default 256"),
      again: seconds.optional().describe("How long a dead device is left alone; by default 1m"),
    }).optional(),
  },
});

/** A task that the file itself declares. */
export const taskKind = defineKind({
  kind: "call",
  summary: "A task that calls a function, an action of a package, or a command",
  main: target(),
  options: {
    with: z.record(z.string(), json()).optional().describe("What it gets; by default the inputs"),
    inputs: z.unknown().optional(),
    title: z.string().optional(),
    help: z.string().optional(),
    max: count.optional(),
    timeout: seconds.optional(),
    to: people().optional().describe("Who may send it by hand"),
  },
});

/** A fleet whose calls are not followed yet. */
export interface CheckedFleet {
  source: FleetSource;
  /** Absent if there are errors. */
  fleet?: Omit<Fleet, "version" | "platformVersion" | "inventory"> & { inventory: CheckedRule };
  calls: Call[];
  /** The module named under `device`. */
  platform?: string;
  problems: Problem[];
}

/** `./plc.ts` is short for its default export. */
function targetOf(text: string): string {
  return text.includes("#") ? text : `${text}#default`;
}

/** Checks a fleet file. */
export function checkFleet(source: FleetSource, kinds: Kinds, known: Omit<Known, "id" | "config">): CheckedFleet {
  const { file, problems } = source;
  const otherwise = (problem: Problem): CheckedFleet => ({ source, calls: [], problems: [...problems, problem] });
  return guarded<CheckedFleet>(file, () => readFleet(source, kinds, known), otherwise);
}

function readFleet(source: FleetSource, kinds: Kinds, known: Omit<Known, "id" | "config">): CheckedFleet {
  const { file, raw, origin } = source;
  const checking = new Checking(origin, kinds, known);
  for (const key of OTHER_KINDS.filter((key) => key in raw)) {
    const hint = "make a file of its own for it";
    checking.error([key], "key", `a file with "devices" is a fleet, so it has no "${key}"`, hint);
  }
  const own = Object.fromEntries(Object.entries(raw).filter(([key]) => !OTHER_KINDS.includes(key)));
  checking.checkKeys(own, [], FLEET_KEYS);
  for (const key of ["every", "timeout"]) checkLiteral(checking, ["ping", key], below(raw.ping, key));
  checkLiteral(checking, ["init"], raw.init);
  const { tasks: _tasks, ...keys } = own;
  const said = Object.fromEntries(
    Object.entries(keys).filter(([key, value]) => FLEET_KEYS.includes(key) && value !== null),
  );
  const visible: Visible = { names: DEVICE_NAMES, steps: [], allSteps: [] };
  const args = resolvedArgs(fleetKind, checkArgs(checking, [], fleetKind, said, visible, UNRESOLVED) ?? {});
  const { inventory, list, files, key } = readInventory(checking, raw, kinds, known);
  const ping = checking.ok ? readPing(checking, args.ping, raw) : undefined;
  const platform = args.device === undefined ? undefined : targetOf(args.device);
  const tasks = readTasks(checking, raw.tasks);
  const calls = [
    ...inventory.calls,
    ...platform === undefined ? [] : [{ target: platform, at: origin.at(["device"], "value") }],
    ...tasks.calls,
  ];
  const { name, help, tags, init } = args;
  const problems = [...source.problems, ...checking.problems];
  const result = { source, calls, problems, ...platform !== undefined && { platform } };
  if (problems.some(isError) || inventory.rule === undefined) return result;
  const fleet: CheckedFleet["fleet"] = {
    id: idOfPath(file),
    file,
    at: origin.at(["devices"], "value"),
    ...name !== undefined && { name },
    ...help !== undefined && { help },
    inventory: inventory.rule,
    ...list && { list },
    ...files && { files },
    key,
    ...tags !== undefined && { tags },
    ...ping && { ping },
    init: { timeout: 25_000, max: 256, again: 60_000, ...init },
    tasks: tasks.tasks,
  };
  return { ...result, fleet };
}

function below(value: unknown, key: string): unknown {
  return isObject(value) ? value[key] : undefined;
}

function readPing(
  checking: Checking,
  ping: Args<typeof fleetKind>["ping"],
  raw: JsonObject,
): PingSettings | undefined {
  if (ping === undefined) return undefined;
  const { tcp, http, run, every = ["8s", "10s"], timeout = 10_000, down = 2 } = ping;
  const kinds = Object.entries({ tcp, http, run }).filter(([, value]) => value !== undefined);
  if (kinds.length > 1) {
    const [, [second]] = kinds;
    checking.error(["ping", second], "key", "a device is pinged in one way", "keep one of tcp, http and run");
  }
  if (kinds.length === 0 && raw.device === undefined) {
    checking.error(
      ["ping"],
      "key",
      'expected one of "tcp", "http", "run"',
      'as in ping: { tcp: "${{ device.host }}:502" }',
    );
  }
  if (tcp !== undefined && !/:(\d+|[^:]*\}\})$/.test(tcp)) {
    checking.error(["ping", "tcp"], "value", `expected host:port, got ${show(tcp)}`, 'as in "${{ device.host }}:502"');
  }
  const times = (Array.isArray(every) ? every : [every, every]).map((text) => parseDuration(String(text)) ?? NaN);
  const [least, most] = times;
  const report = (message: string, hint: string) => checking.error(["ping", "every"], "value", message, hint);
  if (times.length !== 2 || times.some(Number.isNaN)) {
    report(`expected a duration such as 10s, got ${show(every)}`, "or the shortest and the longest, as in [8s, 10s]");
  } else if (least > most) report("the first time is the shortest one", "swap them");
  else if (least < 10) report("the least time between two pings is 10ms", "raise it");
  return {
    ...run !== undefined && { by: { kind: "run", command: run } },
    ...http !== undefined && { by: { kind: "http", target: http } },
    ...tcp !== undefined && { by: { kind: "tcp", target: tcp } },
    every: [least, most],
    timeout,
    down,
  };
}

function readTasks(checking: Checking, raw: Json | undefined): { tasks: Record<string, FleetTask>; calls: Call[] } {
  if (raw === undefined || raw === null) return { tasks: {}, calls: [] };
  if (!isObject(raw)) {
    checking.error(
      ["tasks"],
      "value",
      `expected tasks by name, got ${show(raw)}`,
      "as in reboot: { call: ./reboot.yaml }",
    );
    return { tasks: {}, calls: [] };
  }
  const tasks: Record<string, FleetTask> = {};
  const calls: Call[] = [];
  for (const [name, entry] of Object.entries(raw)) {
    const path = ["tasks", name];
    if (!/^[A-Za-z_][\w-]*$/.test(name)) {
      checking.error(path, "key", `${show(name)} is no name for a task`, "use letters, digits, _ and -");
    } else if (!isObject(entry) || typeof entry.call !== "string") {
      checking.error(
        path,
        "value",
        `expected a task, got ${show(entry)}`,
        "as in reboot: { call: ../commands/reboot.yaml }",
      );
    } else {
      const read = readTask(checking, path, entry);
      if (read !== undefined) tasks[name] = { name, ...read };
      calls.push(
        ...callsInRaw(entry, checking.origin, path).map(({ given, ...call }) =>
          entry.with === undefined ? call : { ...call, given }
        ),
      );
    }
  }
  return { tasks, calls };
}

function readTask(
  checking: Checking,
  path: string[],
  entry: JsonObject,
): Omit<FleetTask, "name"> | undefined {
  const { fields, problems } = readFields(entry.inputs ?? {}, { source: checking.sourceBelow([...path, "inputs"]) });
  checking.addAll([...path, "inputs"], problems);
  for (const key of ["timeout", "to"]) checkLiteral(checking, [...path, key], entry[key]);
  const names = [...DEVICE_NAMES, "inputs", "job"];
  const visible: Visible = { names, steps: [], allSteps: [], inputs: Object.keys(fields) };
  const args = checkArgs(checking, path, taskKind, entry, visible, UNRESOLVED);
  if (args === undefined) return undefined;
  const { call, with: given, title, help, max = 1, timeout = TASK_TIMEOUT, to } = resolvedArgs(taskKind, args);
  return {
    inputs: fields,
    ...title !== undefined && { title },
    ...help !== undefined && { help },
    max,
    timeout,
    ...to !== undefined && { to },
    call: { call, ...given !== undefined && { with: given } },
  };
}
