import { extname } from "node:path";
import { z } from "zod";
import type { Format } from "../formats/format.ts";
import { charset, duration, expression, format, path } from "../language/arg_types.ts";
import { checkArgs, checkLiteral } from "../language/checker/check_args.ts";
import { type CheckedRule, checkRule, type Known } from "../language/checker/check_rule.ts";
import type { Checking, Origin } from "../language/checker/checking.ts";
import { evaluate } from "../language/expressions/expression.ts";
import type { Visible } from "../language/expressions/check_expression.ts";
import { show } from "../language/hints.ts";
import { defineKind, type Kinds, resolvedArgs } from "../language/kind.ts";
import type { FleetFiles } from "../model/fleet.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import { type Call, callsInRaw } from "./calls.ts";
import { idOfPath } from "./source_file.ts";

/** The trigger of an inventory. */
export const INVENTORY = "devices";

/** The most devices of one fleet, unless its inventory says `max`. */
const MOST_DEVICES = 200_000;

/** Templates stay as written: they are resolved for each device. */
export const UNRESOLVED = { resolve: false, excused: [], checkSource: () => {} };

/** Reads the inventory, wrapped in a rule with a poll, so that it is checked, resolved and bundled like any poll. */
export function readInventory(
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
  const { call, with: inputs, auth, ...options } = devices;
  const isCall = call !== undefined;
  const source = { call, ...inputs !== undefined && { with: inputs }, ...auth !== undefined && { auth } };
  const entry = { ...isCall ? { ...options, poll: source } : options, key: name, name: INVENTORY };
  const raw: JsonObject = { when: { max: MOST_DEVICES, ...entry }, then };
  const own = within(origin, isCall);
  const { rule, problems } = checkRule(raw, own, kinds, { ...known, id, config: {} });
  checking.problems.push(...problems);
  return { inventory: { ...rule && { rule }, calls: callsInRaw(raw, own) }, key: name };
}

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
    max: z.number().int().min(1).optional().describe("The most devices of all files; more is an error"),
  },
});

/** Formats by the end of a pattern. */
const FORMAT_OF = new Map<string, Format>([[".json", "json"], [".csv", "csv"]]);

function readFiles(checking: Checking, devices: JsonObject): FleetFiles | undefined {
  const visible: Visible = { names: [], steps: [], allSteps: [] };
  const args = checkArgs(checking, ["devices"], filesKind, devices, visible, UNRESOLVED);
  checkLiteral(checking, ["devices", "settle"], devices.settle);
  if (args === undefined) return undefined;
  const { watch, settle = 2_000, max = MOST_DEVICES, ...options } = resolvedArgs(filesKind, args);
  const format = options.format ?? FORMAT_OF.get(extname(watch));
  if (format !== undefined) {
    return { ...options, watch, format: typeof format === "string" ? format : asJson(format), settle, max };
  }
  checking.error(["devices"], "value", '"format" is missing', "say how a file is read, as in format: csv");
  return undefined;
}

/** Gives the positions in the file for paths in the rule that wraps the inventory. */
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
