import { TerminalError } from "../../model/errors.ts";
import { CONDITION_STEP, isFinalStep, ON_ERROR_STEP, type StepRecord } from "../../model/run.ts";
import { BRANCHING, isBelow, type StepCall, stepPath } from "../../workers/workers.ts";
import type { RunContext } from "../step_frame.ts";

/** A step that the function has asked for. */
interface Asked {
  path: string;
  /** How many answers the function had when it asked: steps asked for in one go have the same number. */
  moment: number;
  /** How many answers the function had, this one included, when it got the answer. */
  answered?: number;
  /** Open at the same time as another one. */
  overlapped: boolean;
  /** Asked for while a step from an earlier moment was open: other branches run beside this one. */
  raced: boolean;
}

interface Scope {
  open: Asked[];
  last?: Asked;
  /** By name: whether one of them raced. */
  names: Map<string, boolean>;
}

/**
 * Gives the steps of a function their paths, and detects a function that does not ask for the same steps as before.
 *
 * The order counts only if the function itself fixed it: between two steps of one scope of which the first was the only
 * open one from asking to answer. Then the function has one live branch, and what it asks for next follows from that
 * answer. Steps of branches side by side (`Promise.all`) overlap; they may be answered, and so followed, in any order, and
 * a replay answers at once what took time before. So their order is not checked, and a name may be repeated only if the
 * order of asking is the function's own: one after the other, or in one go. Otherwise `name#2` could be another branch's
 * step after a restart.
 */
export class ReplayOrder {
  readonly #recorded: Map<string, StepRecord>;
  /** Steps recorded in a fixed order and not asked for yet, by branch. */
  readonly #expected = new Map<string, Map<string, StepRecord>>();
  readonly #asked = new Map<string, Asked>();
  readonly #scopes = new Map<string, Scope>();
  #answers = 0;

  constructor(private readonly rule: string, recorded: StepRecord[]) {
    this.#recorded = new Map(recorded.map((record) => [record.path, record]));
    for (const record of recorded.filter(({ after }) => after !== undefined)) {
      const within = branchOf(record.path);
      const here = this.#expected.get(within) ?? new Map<string, StepRecord>();
      this.#expected.set(within, here.set(record.path, record));
    }
  }

  /**
   * The function asks for a step.
   * @throws ReplayError, or TerminalError if branches side by side use the same name
   */
  ask({ scope: within, name, kind, answered }: Omit<StepCall, "args">): { path: string; after?: string } {
    const scope = this.#scope(within);
    const open = scope.open.filter((step) => isOpen(step, answered));
    const raced = open.some((step) => step.moment < answered);
    const path = this.#pathOf(within, name);
    const earlier = this.#recorded.get(path);
    if (earlier === undefined && scope.names.has(name) && (raced || scope.names.get(name))) throw this.#ambiguous(name);
    if (earlier !== undefined) this.#checkRecorded(earlier, kind);
    else this.#checkNew(within, path, answered);
    const after = earlier ? earlier.after : follows(scope.last, open);
    for (const step of open) step.overlapped = true;
    const asked = { path, moment: answered, overlapped: open.length > 0, raced };
    scope.last = asked;
    scope.open = [...open, asked];
    scope.names.set(name, raced || scope.names.get(name) === true);
    this.#asked.set(path, asked);
    this.#met(within, path);
    // The steps inside an ended step belong to it.
    if (earlier !== undefined && BRANCHING.has(kind) && isFinalStep(earlier.state)) this.#forget(path);
    return { path, ...(after !== undefined && { after }) };
  }

  /** The function gets the step's answer. */
  answer(path: string): void {
    this.#asked.get(path)!.answered = ++this.#answers;
  }

  /**
   * The branches of a step have ended or were given up. The steps that given-up branches would have asked for are unknown.
   * @throws ReplayError if one did not ask for a step that it asked for before
   */
  close(path: string, givenUp: string[]): void {
    for (const branch of givenUp) this.#forget(branch);
    this.#demandNone((within) => isBelow(within, path));
  }

  /**
   * The function has ended. Branches may still have been open, for example if one of them stopped the run.
   * @throws ReplayError if it did not ask for a step that it asked for before
   */
  end(): void {
    for (const [path, { answered }] of this.#asked) if (answered === undefined) this.#forget(path);
    this.#demandNone(() => true);
  }

  #met(within: string, path: string): void {
    const expected = this.#expected.get(within);
    expected?.delete(path);
    if (expected?.size === 0) this.#expected.delete(within);
  }

  /** Steps recorded in a branch, or in the branches of a step, are not expected any more. */
  #forget(path: string): void {
    for (const within of this.#expected.keys()) {
      if (within === path || isBelow(within, path)) this.#expected.delete(within);
    }
  }

  #demandNone(here: (within: string) => boolean): void {
    for (const [within, expected] of this.#expected) {
      const [left] = here(within) ? expected.keys() : [];
      if (left !== undefined) throw this.#differs(`"${left}" was not asked for`);
    }
  }

  #scope(within: string): Scope {
    const scope = this.#scopes.get(within) ?? { open: [], names: new Map() };
    this.#scopes.set(within, scope);
    return scope;
  }

  #pathOf(within: string, name: string): string {
    const first = stepPath(within, name);
    let path = first;
    for (let count = 2; this.#asked.has(path) || RESERVED.has(path); count++) path = `${first}#${count}`;
    return path;
  }

  #checkRecorded({ path, kind, after = "" }: StepRecord, kindNow: string): void {
    if (kind !== kindNow) throw this.#differs(`"${path}" was ${kind} and is now ${kindNow}`, path);
    if (after !== "" && !this.#asked.has(after)) throw this.#differs(`"${path}" was asked for before "${after}"`, path);
  }

  /** When a new step is asked for, no recorded step may be due in its place. */
  #checkNew(within: string, path: string, answered: number): void {
    for (const [expected, { after = "" }] of this.#expected.get(within) ?? []) {
      const before = this.#asked.get(after);
      const isDue = after === "" || (before !== undefined && !isOpen(before, answered));
      if (isDue) throw this.#differs(`"${path}" was asked for before "${expected}"`, path);
    }
  }

  #ambiguous(name: string): TerminalError {
    return new TerminalError(
      `Cannot tell the steps named "${name}" apart: branches of ${this.rule} that run side by side ask for them; ` +
        `give each a name of its own, such as \`${name} \${id}\``,
    );
  }

  #differs(what: string, askedNow?: string): ReplayError {
    const asked = new Set([...this.#asked.keys(), ...(askedNow === undefined ? [] : [askedNow])]);
    const recorded = [...this.#recorded.values()].filter(({ path, after }) => after !== undefined || asked.has(path));
    const whose = `${this.rule}: its function asks`;
    const remedy = "What it does between steps must depend on the event, config and results of steps only";
    return replayError({ whose, what, remedy }, recorded.map(({ path }) => path), [...asked]);
  }
}

/** The branch that contains a path. */
function branchOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Paths that the runtime itself uses. */
const RESERVED = new Set([CONDITION_STEP, ON_ERROR_STEP]);

/** Whether the function, after this many answers, still waits for a step. */
function isOpen(step: Asked, answered: number): boolean {
  return step.answered === undefined || step.answered > answered;
}

/** What a new step follows: the last one, or nothing (`""`); undefined if branches run side by side. */
function follows(last: Asked | undefined, open: Asked[]): string | undefined {
  if (open.length > 0 || last?.overlapped) return undefined;
  return last?.path ?? "";
}

/** A run that resumes does not ask for the same steps as before. */
export class ReplayError extends TerminalError {
  override name = "ReplayError";
}

/** Describes how the steps differ, with both lists. */
function replayError(
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
