import type { Json } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import { controls } from "./index.ts";
import { leaveOut } from "../step_frame.ts";
import type { Records } from "../records.ts";

/** The results of a rule's steps so far, as its `onError` sees them; null for a step without one. */
export function gatherResults(steps: Step[], prefix: string, records: Records, results: Record<string, Json>): void {
  for (const { id, kind, children, onError, onTimeout } of steps) {
    const path = `${prefix}${id}`;
    results[id] = records.get(path)?.output ?? null;
    const answers = { ...(Array.isArray(onError) && { onError }), ...(onTimeout && { onTimeout }) };
    for (const [role, nested] of Object.entries(answers)) gatherResults(nested, `${path}/${role}/`, records, results);
    if (controls[kind]?.nested?.apart) continue;
    for (const [role, nested] of Object.entries(children)) {
      const inner = kind === "repeat" ? lastTurn(path, records) : `${path}/${role}`;
      if (records.hasLost(inner)) leaveOut(nested, { steps: results, errors: {} });
      else gatherResults(nested, `${inner}/`, records, results);
    }
  }
}

function lastTurn(path: string, records: Records): string {
  let turn = 0;
  while (records.get(`${path}[${turn + 1}]`)?.output === true) turn++;
  return `${path}[${turn}]`;
}
