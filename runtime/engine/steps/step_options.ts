import { z } from "zod";
import { TerminalError } from "../../model/errors.ts";
import type { JsonObject } from "../../model/json.ts";
import type { RetryPolicy } from "../../model/rule.ts";
import { patchInCode } from "../../actions/patch.ts";
import { taskInCode } from "../../actions/task.ts";
import { parseArgs } from "../../language/checker/check.ts";
import { mapArgs } from "../../language/expressions/template.ts";
import {
  duration,
  type FieldInfo,
  hasTemplate,
  number,
  rate,
  type Resolved,
  retrySchema,
} from "../../language/fields/field.ts";
import { mapFields } from "../../language/fields/map_fields.ts";
import { defineKind, type Kind } from "../../language/kind.ts";
import { notOn } from "./control.ts";
import { schemasOfCode, waitFor } from "./wait_for.ts";
import { stepKinds } from "./index.ts";

/** A `step.*` call, checked. */
export interface CheckedCall {
  args: JsonObject;
  timeout?: number;
  retry?: RetryPolicy;
}

const common = z.object({ timeout: duration().optional(), retry: retrySchema.optional() });
/** Fields whose values are no text. */
const VALUES: ReadonlySet<FieldInfo["is"]> = new Set(["duration", "rate", "size", "number", "boolean"]);

function notHere(kind: string) {
  const never = notOn(`step.${kind}`, "its branches");
  return { timeout: never, retry: never };
}

/** What `step.each` takes: the number of its items. */
export const eachSchemas = {
  kind: "each",
  main: number({ min: 0, integer: true }),
  options: {
    max: number({ min: 1, integer: true }).optional(),
    rate: rate().optional(),
    onError: z.enum(["stop", "continue"]).optional(),
    ...notHere("each"),
  },
} as const;

/** Kinds whose arguments differ between a function and a YAML file: `match` has values; branches have names or a number. */
const kindsOfCode: Record<string, Kind> = {
  waitFor: { ...waitFor, options: schemasOfCode.options },
  patch: patchInCode,
  task: taskInCode,
  each: { ...eachSchemas, summary: "Runs a function for every item of a list" },
  all: defineKind({
    kind: "all",
    summary: "Runs branches concurrently",
    main: z.array(z.string()),
    options: { join: number({ min: 1, integer: true }).optional(), ...notHere("all") },
    check({ all, join }) {
      const count = all.length;
      return typeof join === "number" && join > count
        ? [`join: ${join} of ${count} branches can never succeed; write at most ${count}`]
        : [];
    },
  }),
  any: {
    kind: "any",
    summary: "Runs branches concurrently until one has succeeded",
    main: z.array(z.string()).min(1, { error: "expected at least one branch" }),
    options: notHere("any"),
  },
};

/**
 * Checks a function's arguments for a step against its kind's schema; every kind knows `timeout` and `retry`.
 * @throws TerminalError
 */
export function checkCall(path: string, kind: string, raw: JsonObject, now: number): CheckedCall {
  const { timeout, retry, ...rest } = raw;
  const options = common.safeParse({ timeout, retry });
  const known = kindsOfCode[kind] ?? stepKinds[kind];
  const unresolved = templatesIn(raw, known);
  if (unresolved.length > 0) {
    const hint = "code has no ${{ }}: give the value itself, such as config.x";
    throw new TerminalError(`Cannot run step "${path}": ${unresolved.join("; ")}; ${hint}`);
  }
  const checked = kind === "do" ? { args: {} } : checkKind(known, raw, rest, now);
  if (options.success && "args" in checked) {
    return { args: checked.args, ...options.data as Resolved<typeof options.data> };
  }
  // If the kind itself checks an option, it reports the problem.
  const issues = options.error?.issues.filter(({ path: [name] }) => !Object.hasOwn(known?.options ?? {}, name)) ?? [];
  const problems = [
    ...issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`),
    ...("problems" in checked ? checked.problems : []),
  ];
  throw new TerminalError(`Cannot run step "${path}": ${problems.join("; ")}`);
}

/** Templates in options that are no text. Nothing resolves them in code, which has the values itself. */
function templatesIn(raw: JsonObject, kind: Kind | undefined): string[] {
  const found: string[] = [];
  const visit: Parameters<typeof mapFields>[2] = (info, value, below) => {
    if (info !== undefined && VALUES.has(info.is) && hasTemplate(value)) {
      found.push(`${below.join(".")}: expected ${info.expected}, got ${JSON.stringify(value)}`);
    }
    return value;
  };
  const { timeout, retry, ...rest } = raw;
  mapFields(common, { timeout, retry }, visit);
  if (kind !== undefined) mapArgs(kind, rest, visit);
  return found;
}

/** @param rest without the options that every kind has, for kinds that do not check these themselves */
function checkKind(
  kind: Kind,
  raw: JsonObject,
  rest: JsonObject,
  now: number,
): { args: JsonObject } | { problems: string[] } {
  const own = Object.entries(raw).filter(([name]) => Object.hasOwn(rest, name) || Object.hasOwn(kind.options, name));
  const parsed = parseArgs(kind, Object.fromEntries(own));
  const wrong = "args" in parsed ? kind.check?.(parsed.args, now) ?? [] : [];
  return wrong.length > 0 ? { problems: wrong } : parsed;
}
