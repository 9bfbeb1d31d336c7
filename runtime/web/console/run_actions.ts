import type { Rule } from "../../model/rule.ts";
import { CONDITION_STEP, describeState, isFinal, type StepWait } from "../../model/run.ts";
import type { Trace } from "../../store/store.ts";
import { oneLine, type Text } from "./run_words.ts";

export const ACTIONS = ["retry", "skip", "move", "cancel", "replay"] as const;
export type ActionName = typeof ACTIONS[number];

/** What somebody can do to a run now. */
export interface RunAction {
  name: ActionName;
  label: string;
  /** What it repeats or ends, and by which version. */
  effect: Text;
  /** Why it cannot be done now. */
  refused?: string;
  /** Whether it asks once more, on a page of its own. */
  confirms: boolean;
  /** The waiting step that it is about. */
  step?: string;
}

/** What actions are decided by. */
export interface ActionSource {
  trace: Trace;
  /** The rule at the run's version, if that is still stored. */
  rule: Rule | undefined;
  /** The version in force; undefined if the rule was removed. */
  current: string | undefined;
  /** The step that failed the run. */
  failed: string | undefined;
}

/** The first characters of a version: enough to tell them apart. */
export function shortVersion(version: string): string {
  return version.slice(0, 4);
}

/** All actions, in the order of their buttons: those that can be done now come first. */
export function actionsOf(source: ActionSource): RunAction[] {
  const actions = [retry(source), ...skips(source), move(source), cancel(source), replay(source)];
  const can = (action: RunAction) => action.refused === undefined;
  return [...actions.filter(can), ...actions.filter((action) => !can(action))];
}

function retry({ trace: { run, steps }, rule, failed }: ActionSource): RunAction {
  const from: Text = failed === undefined ? ["after its last recorded step"] : ["with step ", { step: failed }];
  const isCondition = steps.some(({ path, state }) => path === CONDITION_STEP && state === "failed");
  const refused = run.state !== "failed"
    ? `only a failed run can be retried; ${describeState(run.state)}`
    : rule === undefined
    ? `version ${shortVersion(run.version)} of its rule is no longer kept; replay it`
    : isCondition
    ? "its condition failed, before any step; replay it"
    : undefined;
  const effect: Text = ["The run resumes ", ...from, `, by version ${shortVersion(run.version)}; what succeeded stays`];
  return { name: "retry", label: "Retry", effect, confirms: false, ...refused !== undefined && { refused } };
}

/** One for each wait; a button that is disabled if nothing waits. */
function skips({ trace: { run } }: ActionSource): RunAction[] {
  const { waits = [] } = run;
  if (waits.length === 0) {
    const refused = "none of its steps waits for something that could be skipped";
    return [{ name: "skip", label: "Skip", effect: [], confirms: true, refused }];
  }
  return waits.map((wait) => skip(wait, waits.length > 1));
}

function skip({ step, what, kind }: StepWait, isOneOfSeveral: boolean): RunAction {
  const wait = kind === "time" ? "its time" : oneLine(what, 80);
  const effect: Text = [{ step }, ` waits for ${wait} no longer: its result is null, and the run continues`];
  return { name: "skip", label: isOneOfSeveral ? `Skip ${step}` : "Skip", effect, confirms: true, step };
}

function move({ trace: { run }, current }: ActionSource): RunAction {
  const refused = isFinal(run.state)
    ? `${describeState(run.state)}; replay it with the current version`
    : current === undefined
    ? "its rule was removed"
    : current === run.version
    ? "it is on the current version"
    : run.state === "running"
    ? "it is running; a run can be moved while it waits"
    : undefined;
  const to = current === undefined ? "" : ` ${shortVersion(current)}`;
  const effect: Text = [
    `The run continues by the current version${to} rather than ${
      shortVersion(run.version)
    }; it fails if that has other steps`,
  ];
  return { name: "move", label: "Move", effect, confirms: true, ...refused !== undefined && { refused } };
}

function cancel({ trace: { run } }: ActionSource): RunAction {
  const effect: Text = ["The run ends as cancelled; steps that are performed now are aborted, later ones never begin"];
  const refused = isFinal(run.state) ? describeState(run.state) : undefined;
  return { name: "cancel", label: "Cancel", effect, confirms: true, ...refused !== undefined && { refused } };
}

function replay({ trace: { run }, rule, current }: ActionSource): RunAction {
  const version = current ?? (rule && run.version);
  const refused = version === undefined ? "its rule was removed, and its version is no longer kept" : undefined;
  const by = current === undefined
    ? `its version ${shortVersion(run.version)}`
    : `the current version ${shortVersion(current)}`;
  const effect: Text = [`A new run of the same event performs all steps again, by ${by}`];
  return { name: "replay", label: "Replay", effect, confirms: false, ...refused !== undefined && { refused } };
}
