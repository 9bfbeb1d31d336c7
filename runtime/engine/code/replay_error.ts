import { TerminalError } from "../../model/errors.ts";
import { ON_ERROR_STEP } from "../../model/run.ts";
import type { RunContext } from "../step_frame.ts";

/** A run that resumes does not ask for the same steps as before. */
export class ReplayError extends TerminalError {
  override name = "ReplayError";
}

/** Describes how the steps differ, with both lists. */
export function replayError(
  { whose, what, remedy }: { whose: string; what: string; remedy: string },
  recorded: string[],
  asked: string[],
): ReplayError {
  return new ReplayError(
    `Cannot replay ${whose} for other steps than before (${what}). ` +
      `Recorded: ${list(recorded)}. Asked: ${list(asked)}. ${remedy}`,
  );
}

/** How many steps a message names; the last ones are the most useful. */
const MOST_NAMED = 100;

function list(paths: string[]): string {
  const others = paths.length > MOST_NAMED ? `${paths.length - MOST_NAMED} others, ` : "";
  return paths.length === 0 ? "none" : others + paths.slice(-MOST_NAMED).join(", ");
}

/**
 * A step of a YAML list must be of the recorded kind: the run may have moved to another version of its rule.
 * @throws ReplayError
 */
export function checkKind(kind: string, path: string, context: RunContext): void {
  const recorded = context.records.get(path);
  if (recorded !== undefined && recorded.kind !== kind) {
    throw differs(context, `"${path}" was ${recorded.kind} and is now ${kind}`);
  }
}

/**
 * The steps of a YAML rule have all been executed: every record must belong to one of them.
 * @throws ReplayError
 */
export function checkAllAsked(context: RunContext): void {
  const [left] = context.records.unasked();
  if (left !== undefined) throw differs(context, `"${left}" was not asked for`);
}

function differs({ rule, records }: RunContext, what: string): ReplayError {
  const whose = `${rule.id}: its version ${rule.version} asks`;
  const remedy = "Move runs to versions that still have the steps that they have executed";
  const asked = records.asked.filter((path) => path !== ON_ERROR_STEP);
  return replayError({ whose, what, remedy }, records.recorded, asked);
}
