import { runChild } from "../host/spawn.ts";
import { command, template, url } from "../language/arg_types.ts";
import type { Scope } from "../language/expressions/expression.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import { defineKind } from "../language/kind.ts";
import { formatDuration } from "../model/duration.ts";
import { messageOf } from "../model/errors.ts";
import type { PingSettings } from "../model/fleet.ts";
import type { PingTarget } from "./messages.ts";

/** Bytes of an output that are quoted. */
const QUOTED = 200;

/**
 * Runs a program that pings a device.
 * @param cwd the folder of the fleet's file
 * @returns the reason of its failure; null if its exit code is 0
 */
export async function runPing(
  command: PingTarget,
  timeout: number,
  cwd: string,
  env: Record<string, string>,
): Promise<string | null> {
  const [program, ...args] = typeof command === "string" ? ["sh", "-c", command] : command;
  const signal = AbortSignal.timeout(timeout);
  try {
    const { code, stderr } = await runChild({ program, args, cwd, env, keep: { stdout: 0, stderr: QUOTED }, signal });
    const output = stderr.text.trim();
    return code === 0 ? null : `${program} ended with exit code ${code}${output === "" ? "" : `: ${output}`}`;
  } catch (error) {
    return signal.aborted ? `${program} took longer than ${formatDuration(timeout)}` : messageOf(error);
  }
}

/** The kinds of the built-in pings; by their schemas the results of expressions in a URL are encoded. */
const KINDS = {
  tcp: defineKind({ kind: "tcp", summary: "", main: template(), options: {} }),
  http: defineKind({ kind: "http", summary: "", main: url(), options: {} }),
  run: defineKind({ kind: "run", summary: "", main: command(), options: {} }),
};

/** Resolves the target of a built-in ping of one device. @throws ExpressionError */
export function resolveTarget(by: NonNullable<PingSettings["by"]>, scope: Scope): PingTarget {
  const target = by.kind === "run" ? by.command : by.target;
  const resolved = resolveArgs(KINDS[by.kind], { [by.kind]: target }, scope)[by.kind];
  return Array.isArray(resolved) ? resolved.map(String) : String(resolved);
}
