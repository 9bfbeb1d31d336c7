import type { Scope } from "../language/expressions/expression.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import { command, template, url } from "../language/fields/field.ts";
import { defineKind } from "../language/kind.ts";
import type { PingSettings } from "../model/fleet.ts";
import type { PingTarget } from "./messages.ts";

/** The built-in pings, so that the results of expressions in a URL are encoded. */
const KINDS = {
  tcp: defineKind({ kind: "tcp", summary: "", main: template(), options: {} }),
  http: defineKind({ kind: "http", summary: "", main: url(), options: {} }),
  run: defineKind({ kind: "run", summary: "", main: command(), options: {} }),
};

/** Resolves the target of a built-in ping of one device. @throws ExpressionError */
export function resolveTarget(by: NonNullable<PingSettings["by"]>, scope: Scope): PingTarget {
  const said = by.kind === "run" ? by.command : by.target;
  return resolveArgs(KINDS[by.kind], { [by.kind]: said }, scope)[by.kind] as PingTarget;
}
