import { formatDuration } from "../../../runtime/model/duration.ts";
import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import type { Json } from "../../../runtime/model/json.ts";
import type { Verdict } from "../../../runtime/model/verdict.ts";
import type { Colour } from "./terminal.ts";

/** A verdict as a sentence. */
export function verdictSentence(verdict: Verdict, now: number): string {
  switch (verdict.kind) {
    case "started":
      return `started run ${verdict.run}`;
    case "held": {
      const release = verdict.until > now ? `, goes on in ${formatDuration(verdict.until - now)}` : "";
      return `held as run ${verdict.run}: ${verdict.reason}${release}`;
    }
    case "condition":
      return `did not start, the condition does not hold: ${verdict.reason}${valuesIn(verdict.values)}`;
    case "busy":
      return `did not start, the rule is busy: ${verdict.reason}`;
    case "batched": {
      const closes = verdict.until > now ? `, closes in ${formatDuration(verdict.until - now)}` : "";
      return `joined a batch: ${verdict.reason}${closes}`;
    }
    case "disabled":
      return `did not start: ${verdict.reason}`;
    case "looped":
      return `did not start, this would go round for ever: ${verdict.reason}`;
    case "error":
      return `did not start because of an error: ${verdict.reason}`;
  }
}

/** The values in a clause, if they are short enough for a sentence. */
function valuesIn(values: Record<string, Json> = {}): string {
  const shown = Object.entries(values).map(([name, value]) => `${name} is ${writeExactJson(value)}`);
  const short = shown.filter((text) => text.length <= LONGEST_VALUE);
  return short.length === 0 ? "" : ` (${short.join(", ")})`;
}

const LONGEST_VALUE = 120;

/** The colour of a verdict. */
export function verdictColour(verdict: Verdict): Colour {
  if (verdict.kind === "started") return "green";
  return verdict.kind === "error" || verdict.kind === "looped" ? "red" : "yellow";
}
