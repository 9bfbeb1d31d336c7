import type { Rule } from "../../model/rule.ts";
import { CONDITION_STEP, describeState, isFinal, type StepWait } from "../../model/run.ts";
import type { Seen, Trace } from "../../store/store.ts";
import { oneLine, type Text } from "./run_words.ts";

export const ACTIONS = ["retry", "skip", "move", "cancel", "replay"] as const;
export type ActionName = typeof ACTIONS[number];

/** An action on a run. */
export interface RunAction {
  name: ActionName;
  label: string;
  /** What it repeats or ends, and with which version; in a few words. */
  effect: Text;
  /** The same in whole sentences, for the confirmation page. */
  explained?: Text;
  /** Why it cannot be done now. */
  refused?: string;
  /** Whether it needs confirmation, on a page of its own. */
  confirms: boolean;
  /** The waiting step that it is about. */
  step?: string;
}

/** What decides which actions are available. */
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
  const from: Text = failed === undefined ? ["after the last recorded step"] : ["with step ", { step: failed }];
  const isCondition = steps.some(({ path, state }) => path === CONDITION_STEP && state === "failed");
  const refused = run.state !== "failed"
    ? `only a failed run can be retried; ${describeState(run.state)}`
    : rule === undefined
    ? `version ${shortVersion(run.version)} of its rule is no longer kept; replay it`
    : isCondition
    ? "its condition failed, before any step; replay it"
    : undefined;
  const effect: Text = ["resumes ", ...from, `, by version ${shortVersion(run.version)}`];
  return { name: "retry", label: "Retry", effect, confirms: false, ...refused !== undefined && { refused } };
}

/** One for each wait; one disabled button if nothing waits. */
function skips({ trace: { run } }: ActionSource): RunAction[] {
  const { waits = [] } = run;
  if (waits.length === 0) {
    const refused = "none of its steps waits for something that could be skipped";
    return [{ name: "skip", label: "Skip", effect: [], confirms: true, refused }];
  }
  return waits.map((wait) => skip(wait, run.version));
}

function skip({ step, what, kind }: StepWait, version: string): RunAction {
  const wait = kind === "time" ? "its time" : oneLine(what, 80);
  const explained: Text = [
    ...["Step ", { step }, ` no longer waits for ${wait}: its result is null`],
    `, and the run continues by version ${shortVersion(version)}`,
  ];
  return { name: "skip", label: "Skip", effect: [{ step }, " ends with null"], explained, confirms: true, step };
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
  const to = current === undefined ? "the current version" : `the current version ${shortVersion(current)}`;
  const explained: Text = [
    `The run continues by ${to} rather than by ${shortVersion(run.version)}. What is recorded stays; `,
    "if that version has other steps before it, the run fails",
  ];
  const effect: Text = [`continues by ${to}`];
  return { name: "move", label: "Move", effect, explained, confirms: true, ...refused !== undefined && { refused } };
}

function cancel({ trace: { run } }: ActionSource): RunAction {
  const refused = isFinal(run.state) ? describeState(run.state) : undefined;
  const explained: Text = ["The run ends as cancelled: what it does now is aborted, and its later steps never begin"];
  const effect: Text = ["ends the run"];
  return {
    name: "cancel",
    label: "Cancel",
    effect,
    explained,
    confirms: true,
    ...refused !== undefined && { refused },
  };
}

function replay({ rule, trace: { run }, current }: ActionSource): RunAction {
  const version = current ?? (rule && run.version);
  const refused = version === undefined ? "its rule was removed, and its version is no longer kept" : undefined;
  const by = `${current === undefined || current === run.version ? "" : "the current "}version ${
    shortVersion(version ?? "")
  }`;
  const effect: Text = [`repeats all steps in a new run, by ${by}`];
  return { name: "replay", label: "Replay", effect, confirms: false, ...refused !== undefined && { refused } };
}

/** What a page shows of a run, for the forms on it: how many actions of people were recorded, and whether it had ended. */
export function writeSeen({ run: { state }, notes }: Trace): string {
  return `${notes.filter(({ by }) => by !== undefined).length} ${isFinal(state) ? "ended" : "live"}`;
}

/** @returns undefined if the text is not from {@link writeSeen} */
export function readSeen({ seen = "", since }: Record<string, string | undefined>): Seen | undefined {
  const [, actions, state] = /^(\d{1,9}) (ended|live)$/.exec(seen) ?? [];
  if (actions === undefined) return undefined;
  return { actions: Number(actions), ended: state === "ended", ...since !== undefined && { since: Number(since) } };
}
