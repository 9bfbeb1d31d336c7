import { dirname, resolve } from "node:path";
import type { Origin } from "../language/checker/checking.ts";
import { type GivenValues, writtenScalars } from "../language/fields/check_values.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Position } from "../model/problem.ts";
import { isTarget, readTarget, type Target } from "../model/target.ts";

/** One `call:`, or a step of TypeScript code that calls by a literal. */
export interface Call {
  /** As written: `./lib/tell.yaml`, `./read.ts#read`. */
  target: string;
  at: Position;
  /** True if the text was found in code and may be no target. */
  guessed?: boolean;
  /** The values passed, with the path of the calling entry; absent for code. */
  given?: GivenValues & {
    path: (string | number)[];
    /** The options that only a command has. */
    options: string[];
  };
}

/** What a target names; targets are relative to the calling file. */
export function calleeOf(folder: string, caller: string, target: string): Target {
  return readTarget(folder, resolve(folder, dirname(caller)), target);
}

/** Finds targets that are literals in TypeScript code: its steps are unknown before it runs. */
export function callsInCode(code: string, at: Position): Call[] {
  const packages = code.matchAll(/\.call\([^()]*?,\s*(["'`])((?:@[\w.-]+\/)?[\w-][\w.-]*(?:\/[\w./-]+)?#[\w$]+)\1/g);
  const literals = code.matchAll(/(\.call\([^()]*?,\s*)?(["'`])(\.{1,2}\/[^"'`\n$]+\.(?:ya?ml|[cm]?[jt]s#[\w$]+))\2/g);
  return [
    ...[...literals].map(([, call, , target]) => ({ target, at, ...(call === undefined && { guessed: true }) })),
    ...[...packages].map(([, , target]) => ({ target, at })),
  ];
}

/** The keys of a rule or action that contain steps. */
const STEP_PLACES = new Set(["when", "then", "else", "notify", "onError", "onTimeout", "poll"]);

/** Finds the calls in a raw file, even in one with errors, so that all problems are reported together. */
export function callsInRaw(raw: Json, origin: Origin, path: (string | number)[] = []): Call[] {
  if (Array.isArray(raw)) return raw.flatMap((item, index) => callsInRaw(item, origin, [...path, index]));
  if (!isObject(raw)) return [];
  return Object.entries(raw).flatMap(([key, value]): Call[] => {
    const at = [...path, key];
    if (STEP_PLACES.has(key)) return callsInRaw(value, origin, at);
    if (key === "parallel") return callsInBranches(value, origin, at);
    if (key !== "call" || typeof value !== "string" || !isTarget(value)) return [];
    return [{ target: value, at: origin.at(at, "value"), given: givenIn(raw, path, origin) }];
  });
}

/** The values that an entry with `call` passes under `with`. */
function givenIn(entry: JsonObject, path: (string | number)[], origin: Origin): Call["given"] {
  const values = isObject(entry.with) ? entry.with : {};
  const written = writtenScalars(values, (below) => origin.written?.([...path, "with", ...below]));
  const options = Object.keys(entry).filter((key) => COMMAND_OPTIONS.includes(key));
  return { path, values, options, ...written && { written } };
}

/** Options of `call` that only commands have. */
const COMMAND_OPTIONS = ["stdin", "save", "format", "charset", "keep", "ok"];

/** Skips the names of branches, which may be anything. */
function callsInBranches(raw: Json, origin: Origin, path: (string | number)[]): Call[] {
  if (!isObject(raw)) return [];
  return Object.entries(raw).flatMap(([name, steps]) => callsInRaw(steps, origin, [...path, name]));
}

/** The calls of a checked file, each with the position of its target in the raw file, if it is found there. */
export function placeCalls(calls: Call[], raw: Call[]): Call[] {
  const places = Map.groupBy(raw, ({ target }) => target);
  return calls.map((call) => ({ ...call, ...places.get(call.target)?.shift() }));
}
