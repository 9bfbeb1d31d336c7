import { compile } from "../../language/expressions/expression.ts";
import { readFields } from "../../language/fields/fields.ts";
import { parseDuration } from "../../model/duration.ts";
import type { JsonObject } from "../../model/json.ts";
import type { Problem } from "../../model/problem.ts";
import type { Definition } from "../../model/rule.ts";
import type { Described } from "../../workers/workers.ts";

/** Reads what a module's sources and actions declare; problems have the position of the file's first character. */
export function readDefinitions(
  described: Record<string, Described> | undefined,
  file: string,
): { definitions?: Record<string, Definition>; problems: Problem[] } {
  if (described === undefined) return { problems: [] };
  const definitions: Record<string, Definition> = {};
  const messages = new Set<string>();
  for (const [name, { inputs, tasks, ...rest }] of Object.entries(described)) {
    const read = readFields(inputs);
    definitions[name] = { ...rest, inputs: read.fields };
    if (tasks !== undefined) definitions[name].tasks = readTasks(tasks, messages);
    const of = `the ${rest.kind} ${name.replace(/^#.*#/, "")}`;
    for (const { path, message } of read.problems) messages.add(`${of}: inputs.${path.join(".")}: ${message}`);
    for (const message of faultsOf(rest)) messages.add(`${of}: ${message}`);
  }
  const at = { line: 1, column: 1 };
  const problems = [...messages].map((message): Problem => ({ severity: "error", file, at, message }));
  return { definitions, problems };
}

/** The tasks of a platform; `messages` receives their problems. */
function readTasks(
  tasks: Record<string, JsonObject>,
  messages: Set<string>,
): NonNullable<Definition["tasks"]> {
  return Object.fromEntries(
    Object.entries(tasks).map(([name, { inputs = {}, title, help, max, timeout }]) => {
      const read = readFields(inputs);
      for (const { path, message } of read.problems) {
        messages.add(`the task ${name}: ${["inputs", ...path].join(".")}: ${message}`);
      }
      const wrong = (key: string, expected: string, value: unknown) =>
        messages.add(`the task ${name}: ${key}: expected ${expected}, got ${JSON.stringify(value)}`);
      const ms = typeof timeout === "string" ? parseDuration(timeout) : undefined;
      if (timeout !== undefined && ms === undefined) wrong("timeout", 'a duration such as "30s"', timeout);
      const isCount = typeof max === "number" && Number.isInteger(max) && max > 0;
      if (max !== undefined && !isCount) wrong("max", "a whole number from 1", max);
      if (!/^[A-Za-z_][\w-]*$/.test(name)) {
        messages.add(`${JSON.stringify(name)} is no name for a task: use letters, digits, _ and -`);
      }
      return [name, {
        inputs: read.fields,
        ...typeof title === "string" && { title },
        ...typeof help === "string" && { help },
        ...isCount && { max },
        ...ms !== undefined && { timeout: ms },
      }];
    }),
  );
}

function faultsOf({ kind, key, at, max, ignore, methods }: Omit<Definition, "inputs">): string[] {
  const faults: string[] = [];
  for (const [name, text] of Object.entries({ key, at })) {
    if (text === undefined) continue;
    const { problem, references } = compile(String(text));
    const foreign = references.find(({ path: [root] }) => root !== "item" && root !== "index");
    if (problem !== undefined) faults.push(`${name}: bad expression: ${problem.message}`);
    else if (foreign !== undefined) faults.push(`${name}: unknown name "${foreign.path[0]}"; known here: item`);
  }
  if (max !== undefined && !(Number.isInteger(max) && max > 0)) faults.push(`max: expected a whole number, got ${max}`);
  if (ignore !== undefined && !(Array.isArray(ignore) && ignore.every((path) => typeof path === "string"))) {
    faults.push("ignore: expected a list of paths such as modified_at");
  }
  const reads = methods.filter((method) => method === "read" || method === "listen");
  if (kind === "action" && !methods.includes("run")) faults.push("an action needs a function run");
  if (kind === "source" && reads.length !== 1) {
    faults.push(
      reads.length === 0 ? "a source needs a function read, or listen" : "a source has read or listen, not both",
    );
  }
  return faults;
}
