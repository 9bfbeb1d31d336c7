import { writeExactJson } from "../formats/exact_json.ts";
import { withoutIterations } from "../language/expectation.ts";
import type { RecordedError } from "../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { StepRecord } from "../model/run.ts";

/** Kinds of steps that a stub answers. */
const STUBBED = ["http", "run", "call", "do", "mail", "task", "patch"];

/** Whether a step gets its result from a stub; a YAML action that is called has steps of its own. */
export function isStubbed({ kind, path, state, input }: StepRecord, all: StepRecord[]): boolean {
  if (!STUBBED.includes(kind) || state === "skipped" || state === "cancelled" || isPartOf(path)) return false;
  const target = isObject(input) ? String(input.call ?? "") : "";
  return kind !== "call" || !/\.ya?ml$/.test(target) || !all.some((other) => other.path.startsWith(`${path}/then`));
}

function isPartOf(path: string): boolean {
  return /\[results\d+\]$/.test(path);
}

/**
 * The stubs that give the steps of a run the results that are recorded, by path. Turns of a loop with the same results share one.
 * @param text the texts of the rule: headers of answers are kept if they name them
 */
export function stubsOf(steps: StepRecord[], text: string): JsonObject {
  const stubbed = steps.filter((step) => isStubbed(step, steps));
  const answers = new Map(stubbed.map((step) => [step.path, stubOf(step, text.toLowerCase())]));
  const stubs: JsonObject = {};
  for (const [name, paths] of Map.groupBy(answers.keys(), withoutIterations)) {
    const different = new Set(paths.map((path) => writeExactJson(answers.get(path)!)));
    if (different.size === 1) stubs[name] = answers.get(paths[0])!;
    else for (const path of paths) stubs[path] = answers.get(path)!;
  }
  return stubs;
}

/** One answer, or a list of successive ones: those of the failed attempts and the last one. */
function stubOf(step: StepRecord, text: string): Json {
  const { kind, attempts, failures = [], error, output = null } = step;
  const last = error !== undefined ? failureOf(kind, error, text) : resultOf(kind, output, text);
  const before: Json[] = [];
  for (let attempt = 1; attempt < attempts; attempt++) {
    // Of many attempts only some are recorded.
    const known = failures.find((each) => each.attempt === attempt) ??
      failures.findLast((each) => each.attempt < attempt);
    before.push(known === undefined ? last : failureOf(kind, known.error, text));
  }
  const all = [...before, last];
  const isSame = all.every((answer) => writeExactJson(answer) === writeExactJson(last));
  return isSame && !Array.isArray(last) ? last : all;
}

function resultOf(kind: string, output: Json, text: string): Json {
  if (!isObject(output)) return output;
  switch (kind) {
    case "http":
      return answerOf(output, text);
    case "run":
      return endOf(output);
    case "call":
      return "argv" in output && "stdout" in output ? { ...endOf(output), files: output.files ?? [] } : output;
    case "mail": {
      const { rejected = [] } = output;
      return Array.isArray(rejected) && rejected.length > 0 ? { accepted: output.accepted ?? [], rejected } : {};
    }
    case "task":
      return devicesOf(output);
    default:
      return output;
  }
}

function failureOf(kind: string, { name, message, detail }: RecordedError, text: string): Json {
  if (name === "TimeoutError") return { timeout: true };
  if (isObject(detail)) {
    if (kind === "http" && detail.status !== undefined) return answerOf(detail, text);
    if ((kind === "run" || kind === "call") && detail.code !== undefined) return endOf(detail);
    if (kind === "task") return devicesOf(detail);
  }
  if (kind === "http") {
    const [, status] = / answered (\d{3})(?:$|:)/.exec(message) ?? [];
    if (status !== undefined) return { status: Number(status) };
  }
  return { error: kind === "http" || kind === "run" ? message.replace(/^Cannot .+?: (?=\S)/, "") : message };
}

/** The answer of a server. */
function answerOf({ status = 200, headers = {}, body = null }: JsonObject, text: string): JsonObject {
  const type = isObject(headers) ? String(headers["content-type"] ?? "") : "";
  const isOwnType = typeof body === "string" && type !== "" && !type.startsWith("text/plain");
  const kept = Object.entries(isObject(headers) ? headers as JsonObject : {}).filter(([name]) =>
    name === "content-type" ? isOwnType : text.includes(name) && !LENGTHS.includes(name)
  );
  return {
    ...status !== 200 && { status },
    ...kept.length > 0 && { headers: Object.fromEntries(kept) },
    ...body !== null && body !== "" && { body },
  };
}

/** Headers about the transfer, which the stub's body does not have. */
const LENGTHS = ["content-length", "content-encoding", "transfer-encoding"];

/** How a program ended. */
function endOf({ code = 0, stdout = "", stderr = "" }: JsonObject): JsonObject {
  return { ...code !== 0 && { code }, ...stdout !== "" && { stdout }, ...stderr !== "" && { stderr } };
}

/** What each device answered, from the result of a task that was sent to one device or to several. */
function devicesOf(output: JsonObject): JsonObject {
  const answers: JsonObject = {};
  for (const result of Array.isArray(output.results) ? output.results : [output]) {
    if (!isObject(result)) continue;
    const { device, success, error = null, return: returned = null } = result;
    answers[String(device)] = success === false ? { error: String(error) } : { return: returned };
  }
  return answers;
}
