import { extname } from "node:path";
import { z } from "zod";
import { checkArgs, checkLiteral } from "../language/checker/check_args.ts";
import { type CheckedRule, checkRule, type Known } from "../language/checker/check_rule.ts";
import { Checking, type Origin } from "../language/checker/checking.ts";
import { evaluate } from "../language/expressions/expression.ts";
import type { Visible } from "../language/expressions/names.ts";
import {
  charset,
  command,
  duration,
  expression,
  format,
  json,
  path,
  people,
  target,
  template,
  url,
} from "../language/arg_types.ts";
import { readFields } from "../language/fields/read_fields.ts";
import { show } from "../language/hints.ts";
import { defineKind, type Kinds } from "../language/kind.ts";
import type { Fleet, FleetFiles, FleetTask, PingSettings } from "../model/fleet.ts";
import { parseDuration } from "../model/duration.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { guarded, type Problem } from "../model/problem.ts";
import { isTarget } from "../model/target.ts";
import { type Call, callsInRaw } from "./calls.ts";
import { type FleetSource, idOfPath } from "./rule_source.ts";

/** Keys of a fleet file. */
export const FLEET_KEYS = ["name", "help", "devices", "key", "tags", "device", "ping", "init", "tasks"];

/** Keys that make a file one of another kind. */
const OTHER_KINDS = ["when", "then", "command", "inputs", "output"];

/** The trigger of an inventory. */
export const INVENTORY = "devices";

/** The most devices of one fleet, unless its inventory says `max`. */
const MOST_DEVICES = 200_000;

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

/** An inventory in files. */
const filesKind = defineKind({
  kind: "watch",
  summary: "Files that list devices, such as ./plants/*.csv",
  main: path(),
  options: {
    format: format().optional().describe("By default as the name ends: .json, .csv"),
    charset: charset().optional(),
    items: expression({ names: ["body", "name"] }).optional().describe(
      "Where in a file the list is, as in body.devices",
    ),
    settle: duration().optional().describe("A file is read once it has not changed for so long; by default 2s"),
    max: count.optional().describe("The most devices of all files; more is an error"),
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
  const args = checkArgs(checking, [], fleetKind, said, visible, UNRESOLVED) ?? {};
  const { inventory, list, files, key } = readInventory(checking, raw, kinds, known);
  const ping = checking.ok ? readPing(checking, args.ping as JsonObject | undefined, raw) : undefined;
  const platform = typeof args.device === "string" ? targetOf(args.device) : undefined;
  const tasks = readTasks(checking, raw.tasks);
  const calls = [
    ...inventory.calls,
    ...platform === undefined ? [] : [{ target: platform, at: origin.at(["device"], "value") }],
    ...tasks.calls,
  ];
  const init = (args.init ?? {}) as Partial<Fleet["init"]>;
  const { name, help, tags } = args;
  const problems = [...source.problems, ...checking.problems];
  const result = { source, calls, problems, ...platform !== undefined && { platform } };
  if (problems.some(({ severity }) => severity === "error") || inventory.rule === undefined) return result;
  const fleet: CheckedFleet["fleet"] = {
    id: idOfPath(file),
    file,
    at: origin.at(["devices"], "value"),
    ...typeof name === "string" && { name },
    ...typeof help === "string" && { help },
    inventory: inventory.rule,
    ...list && { list },
    ...files && { files },
    key,
    ...typeof tags === "string" && { tags },
    ...ping && { ping },
    init: { timeout: 25_000, max: 256, again: 60_000, ...init },
    tasks: tasks.tasks,
  };
  return { ...result, fleet };
}

/** Templates stay as written: they are resolved for each device. */
const UNRESOLVED = { resolve: false, excused: [], checkSource: () => {} };

function below(value: unknown, key: string): unknown {
  return isObject(value) ? value[key] : undefined;
}

/** The inventory as a rule with a poll, so that it is checked, resolved and bundled as polls are. */
function readInventory(
  checking: Checking,
  { devices, key }: JsonObject,
  kinds: Kinds,
  known: Omit<Known, "id" | "config">,
): { inventory: { rule?: CheckedRule; calls: Call[] }; list?: Json[]; files?: FleetFiles; key: string } {
  const { origin } = checking;
  const isList = Array.isArray(devices);
  const ofTexts = isList && devices.every((item) => typeof item === "string");
  const name = typeof key === "string" ? key : "item";
  if (typeof key !== "string" && !ofTexts && (isList || isObject(devices))) {
    checking.error([], "value", '"key" is missing', "say what a device's name is, as in key: item.name");
  }
  const then = [{ log: "read" }];
  const id = idOfPath(origin.file);
  const none = { inventory: { calls: [] }, key: name };
  // A rule without triggers carries the code that the fleet calls.
  const alone = () => {
    const { rule } = checkRule({ when: "manual", then }, origin, kinds, { ...known, id, config: {} });
    return { inventory: { ...rule && { rule: { ...rule, triggers: [] } }, calls: [] }, key: name };
  };
  if (isList) {
    if (checking.ok) checkNames(checking, devices, name);
    return { ...alone(), list: devices };
  }
  if (isObject(devices) && "watch" in devices) {
    const files = readFiles(checking, devices);
    return files === undefined ? none : { ...alone(), files };
  }
  if (!isObject(devices) || !("poll" in devices || "call" in devices)) {
    const expected = "expected a list of devices, { watch }, { poll } or { call }";
    if (devices === undefined) checking.error([], "value", '"devices" is missing', "say which devices there are");
    else if (devices !== null) checking.error(["devices"], "value", `${expected}, got ${show(devices)}`);
    return none;
  }
  const { call, with: inputs, auth, ...options } = devices as JsonObject;
  const isCall = call !== undefined;
  const source = { call, ...inputs !== undefined && { with: inputs }, ...auth !== undefined && { auth } };
  const entry = { ...isCall ? { ...options, poll: source } : options, key: name, name: INVENTORY };
  const raw = { when: { max: MOST_DEVICES, ...entry }, then } as JsonObject;
  const own = within(origin, isCall);
  const { rule, problems } = checkRule(raw, own, kinds, { ...known, id, config: {} });
  checking.problems.push(...problems);
  return { inventory: { ...rule && { rule }, calls: callsInRaw(raw, own) }, key: name };
}

/** Formats by the end of a pattern. */
const FORMAT_OF = new Map([[".json", "json"], [".csv", "csv"]]);

function readFiles(checking: Checking, devices: JsonObject): FleetFiles | undefined {
  const visible: Visible = { names: [], steps: [], allSteps: [] };
  const args = checkArgs(checking, ["devices"], filesKind, devices, visible, UNRESOLVED);
  for (const key of ["settle"]) checkLiteral(checking, ["devices", key], devices[key]);
  if (args === undefined) return undefined;
  const { watch, settle = 2_000, max = MOST_DEVICES, ...options } = args as unknown as Partial<FleetFiles> & {
    watch: string;
  };
  const format = options.format ?? FORMAT_OF.get(extname(watch));
  if (format !== undefined) return { ...options, watch, format, settle, max };
  checking.error(["devices"], "value", '"format" is missing', "say how a file is read, as in format: csv");
  return undefined;
}

/** The places in the file of the parts of the rule that stands for the inventory. */
function within(origin: Origin, isCall: boolean): Origin {
  const place = ([, second, ...rest]: (string | number)[]): (string | number)[] => {
    if (second === "key") return ["key", ...rest];
    if (second === undefined || second === "name") return ["devices"];
    return ["devices", ...isCall && second === "poll" ? rest : [second, ...rest]];
  };
  return {
    ...origin,
    at: (path, part) => origin.at(place(path), part),
    within: (path, offset, length) => origin.within(place(path), offset, length),
    written: (path) => origin.written?.(place(path)),
  };
}

/** Reports devices of a list without a name, or with that of an earlier one. */
function checkNames(checking: Checking, devices: Json[], key: string): void {
  const seen = new Set<string>();
  for (const [index, item] of devices.entries()) {
    let name: Json = null;
    try {
      name = evaluate(key, { item, index });
    } catch {
      // Reported below: an item without the field.
    }
    const text = name === null || typeof name === "object" ? "" : String(name);
    if (text === "") {
      checking.error(["devices", index], "value", `"key: ${key}" gives no name for this device`, "give it one");
    } else if (seen.has(text)) {
      checking.error(["devices", index], "value", `there is a device ${show(text)} already`, "names are unique");
    }
    seen.add(text);
  }
}

function readPing(checking: Checking, ping: JsonObject | undefined, raw: JsonObject): PingSettings | undefined {
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
  if (typeof tcp === "string" && !/:(\d+|[^:]*\}\})$/.test(tcp)) {
    checking.error(["ping", "tcp"], "value", `expected host:port, got ${show(tcp)}`, 'as in "${{ device.host }}:502"');
  }
  const times = (Array.isArray(every) ? every : [every, every]).map((text) => parseDuration(String(text)) ?? NaN);
  const [least, most] = times;
  const report = (message: string, hint: string) => checking.error(["ping", "every"], "value", message, hint);
  if (times.length !== 2 || times.some(Number.isNaN)) {
    report(`expected a duration such as 10s, got ${show(every)}`, "or the shortest and the longest, as in [8s, 10s]");
  } else if (least > most) report("the first time is the shortest one", "swap them");
  else if (least < 10) report("the least time between two pings is 10ms", "raise it");
  const [[kind, value] = []] = kinds;
  return {
    ...kind === "run" && { by: { kind, command: value as string | string[] } },
    ...(kind === "tcp" || kind === "http") && { by: { kind, target: value as string } },
    every: [least, most],
    timeout: timeout as number,
    down: down as number,
  };
}

function readTasks(checking: Checking, raw: unknown): { tasks: Record<string, FleetTask>; calls: Call[] } {
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
      const read = readTask(checking, path, entry as JsonObject & { call: string });
      if (read !== undefined) tasks[name] = { name, ...read };
      calls.push(
        ...callsInRaw(entry as JsonObject, checking.origin, path).map(({ given, ...call }) =>
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
  entry: JsonObject & { call: string },
): Omit<FleetTask, "name"> | undefined {
  const { fields, problems } = readFields(entry.inputs ?? {}, { source: checking.sourceBelow([...path, "inputs"]) });
  checking.addAll([...path, "inputs"], problems);
  for (const key of ["timeout", "to"]) checkLiteral(checking, [...path, key], entry[key]);
  const names = [...DEVICE_NAMES, "inputs", "job"];
  const visible: Visible = { names, steps: [], allSteps: [], inputs: Object.keys(fields) };
  const args = checkArgs(checking, path, taskKind, entry, visible, UNRESOLVED);
  if (args === undefined) return undefined;
  const { call, with: given, title, help, max = 1, timeout = TASK_TIMEOUT, to } = args;
  return {
    inputs: fields,
    ...typeof title === "string" && { title },
    ...typeof help === "string" && { help },
    max: max as number,
    timeout: timeout as number,
    ...Array.isArray(to) && { to: to as string[] },
    call: { call: call as string, ...isObject(given) && { with: given as JsonObject } },
  };
}
