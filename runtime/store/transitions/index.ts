import { accept } from "./accept.ts";
import { answerCondition } from "./admission.ts";
import { adaptBatches } from "./batch_rows.ts";
import { claimRuns, reclaimRuns, suspendRun } from "./claim_runs.ts";
import { rollBackClock } from "./clock_rollback.ts";
import { closeBatch } from "./close_batch.ts";
import { endFold } from "./end_fold.ts";
import { cancelRun, finishRun } from "./end_run.ts";
import { changeCondition, changeDevices } from "./notices.ts";
import { moveRun, replayRun, retryRun } from "./operate_run.ts";
import { beginPatch, prune } from "./progress.ts";
import { recordStep } from "./record_step.ts";
import { changeVersions, dropVersions, keepSourced, putVersions, setConfig, setPaused } from "./rule_rows.ts";
import { addResults, dropOrder, endOrder, putOrder } from "./orders.ts";
import { freePlaces, noteNews, releasePlaces, setCarried, takePlaces, wantPlaces } from "./places.ts";
import type { Transition } from "./transition.ts";
import { unlessChanged } from "./unless_changed.ts";
import { answerForm, resolveSearch, skipWait } from "./waits.ts";

/**
 * All transitions, by the names that replicas use for them. A replica of another version may send them: a transition whose input
 * changes in a way that older programs do not understand gets a new name.
 */
const TRANSITIONS = {
  accept,
  addResults,
  adaptBatches,
  answerCondition,
  answerForm,
  beginPatch,
  cancelRun,
  changeCondition,
  changeDevices,
  changeVersions,
  claimRuns,
  closeBatch,
  dropOrder,
  dropVersions,
  endFold,
  endOrder,
  finishRun,
  freePlaces,
  keepSourced,
  moveRun,
  noteNews,
  prune,
  putOrder,
  putVersions,
  reclaimRuns,
  recordStep,
  releasePlaces,
  replayRun,
  resolveSearch,
  retryRun,
  rollBackClock,
  setCarried,
  setConfig,
  setPaused,
  skipWait,
  suspendRun,
  takePlaces,
  unlessChanged,
  wantPlaces,
};

// deno-lint-ignore no-explicit-any
type AnyTransition = Transition<any, unknown>;

const names = new Map<AnyTransition, string>(
  Object.entries<AnyTransition>(TRANSITIONS).map(([name, transition]) => [transition, name]),
);

/** The name of a transition. @throws Error if it has none */
export function nameOf<I, R>(transition: Transition<I, R>): string {
  const name = names.get(transition);
  if (name === undefined) throw new Error(`Cannot send ${transition.name}: it is not in the table of transitions`);
  return name;
}

/** The transition of a name, if this version of the program has it. */
export function transitionOf(name: string): AnyTransition | undefined {
  return Object.hasOwn(TRANSITIONS, name) ? TRANSITIONS[name as keyof typeof TRANSITIONS] : undefined;
}
