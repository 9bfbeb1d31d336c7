import type { JsonObject } from "../../../runtime/model/json.ts";
import type { Rule, Step } from "../../../runtime/model/rule.ts";
import type { Run, StepRecord } from "../../../runtime/model/run.ts";
import type { Trace } from "../../../runtime/store/store.ts";
import type { Row } from "../../../runtime/web/console/run_rows.ts";
import { type RunView, viewRun } from "../../../runtime/web/console/run_view.ts";
import type { Text } from "../../../runtime/web/console/run_words.ts";
import { plainRule } from "../../model/plain_rule.ts";

/** When the runs of these tests began. */
export const BEGAN = Date.parse("2026-11-21T08:00:00Z");
export const SECOND = 1_000;
export const DAY = 86_400_000;
const at = { line: 1, column: 1 };

/** A record that succeeded. @param from milliseconds after the run began; `to` as well */
export function record(
  path: string,
  kind: string,
  from: number,
  to: number,
  more: Partial<StepRecord> = {},
): StepRecord {
  return {
    path,
    kind,
    state: "succeeded",
    attempts: 1,
    startedAt: BEGAN + from,
    endedAt: BEGAN + to,
    output: null,
    ...more,
  };
}

/** A record that has not ended. */
export function openRecord(path: string, kind: string, from: number, more: Partial<StepRecord>): StepRecord {
  return { path, kind, state: "waiting", attempts: 1, startedAt: BEGAN + from, ...more };
}

export function failure(message: string): Partial<StepRecord> {
  return { state: "failed", output: undefined, error: { name: "Error", message } };
}

export function step(id: string, kind: string, more: Partial<Step> = {}, args: JsonObject = {}): Step {
  return { id, kind, at, args, children: {}, ...more };
}

export function ruleOf(then: Rule["then"], more: Partial<Rule> = {}): Rule {
  return plainRule({ id: "shop/refund", version: "a1f3", then, ...more });
}

export function traceOf(steps: StepRecord[], run: Partial<Run> = {}): Trace {
  return {
    run: {
      id: "r1",
      rule: "shop/refund",
      version: "a1f3",
      trigger: "manual",
      event: { id: "e1", source: "/test", type: "test", time: new Date(BEGAN).toISOString(), data: {} },
      state: "succeeded",
      createdAt: BEGAN,
      startedAt: BEGAN,
      spent: 0,
      ...run,
    },
    steps,
    notes: [],
  };
}

export function view(trace: Trace, rule?: Rule, more: { step?: string; now?: number } = {}): RunView {
  return viewRun({ trace, rule, now: BEGAN + DAY, ...more });
}

const MARKS = { open: "◐", failed: "✕", cancelled: "-", done: "✓", none: "○" };

/** The tree as a terminal would show it, one line for each row. */
export function drawn({ rows }: Pick<RunView, "rows">): string[] {
  return rows.map((row) => {
    const { depth, progress, name, kind, attempts, outcome, loop } = row;
    const facts = [kind, said(outcome), attempts > 1 && `${attempts} attempts`, loop && loopFacts(row)];
    return `${"  ".repeat(depth)}${MARKS[progress]} ${[name, ...facts].filter((fact) => fact).join(" | ")}`;
  });
}

function loopFacts({ loop }: Row): string {
  const { done, failed, open } = loop!.counts;
  return `×${loop!.count} ${done}✓ ${failed}✕ ${open}◐`;
}

/** A text, with times as seconds after the run began. */
export function said(text: Text): string {
  return text.map((part) => {
    if (typeof part === "string") return part;
    return "at" in part ? `+${(part.at - BEGAN) / SECOND}s` : part.step;
  }).join("");
}
