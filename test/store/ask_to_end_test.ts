import assert from "node:assert/strict";
import type { RunRow } from "../../runtime/store/ledger/tables.ts";
import { answerCondition } from "../../runtime/store/transitions/admission.ts";
import { accept } from "../../runtime/store/transitions/accept.ts";
import { claimRuns, reclaimRuns, suspendRun } from "../../runtime/store/transitions/claim_runs.ts";
import { type Cancelling, cancelRun } from "../../runtime/store/transitions/end_run.ts";
import { encode } from "../../runtime/store/ledger/ledger.ts";
import type { Admission } from "../../runtime/store/store.ts";
import { arrival, candidate, NOW, step } from "./helpers.ts";
import { State } from "./state.ts";

/** A run that the replica "one" executes. */
function running(admit: Partial<Admission> = {}): { state: State; run: RunRow } {
  const state = new State();
  accept(state.rows, { arrivals: [arrival("e1", [candidate(admit)])], progress: [] }, state.at);
  claimRuns(state.rows, { owner: "one", max: 1 }, state.at);
  const [[, run]] = state.rows.all("run");
  return { state, run };
}

function cancel({ rows, at }: State, run: RunRow, request: Partial<Cancelling> = {}) {
  return cancelRun(rows, { run: run.id, reason: "Too late", ...request }, at);
}

/** How the run has ended, as in history. */
function endOf(state: State, { id }: RunRow) {
  assert.equal(state.rows.get("run", id), undefined);
  state.remember(encode(state.rows).history);
  const { run: { state: ended, error } } = state.ended.get(id)!;
  return [ended, error?.message];
}

const asked = { kind: "asked", state: "running", ended: false };

Deno.test("a running run of another replica: its owner is asked to end it, once, with the first reason", () => {
  const { state, run } = running();
  assert.deepEqual(cancel(state, run, { replica: "two", decision: { by: "anna" } }), { ...asked, owner: "one" });
  assert.deepEqual(state.rows.get("run", run.id)!.ending, { reason: "Too late", by: "anna" });
  assert.deepEqual(cancel(state, run, { replica: "two", reason: "Again" }), { ...asked, owner: "one" });
  assert.equal(state.rows.get("run", run.id)!.ending!.reason, "Too late");
});

Deno.test("a replica's own running run is left to its runner, as in a store of one program", () => {
  const { state, run } = running();
  for (const request of [{ replica: "one" }, {}]) assert.deepEqual(cancel(state, run, request), asked);
  assert.equal(state.rows.get("run", run.id)!.ending, undefined);
});

Deno.test("a run that was to be ended ends when its owner suspends it", () => {
  for (const kind of ["waiting", "queued"] as const) {
    const { state, run } = running();
    cancel(state, run, { replica: "two" });
    suspendRun(state.rows, { run: run.id, suspension: { state: kind, waitingFor: "x", spent: 1 } }, state.at);
    assert.deepEqual(endOf(state, run), ["cancelled", "Too late"]);
  }
});

Deno.test("a run that was to be ended ends after its condition said yes", () => {
  const { state, run } = running({ asksFirst: true });
  cancel(state, run, { replica: "two" });
  const record = step("if", { kind: "if", startedAt: NOW });
  const { verdict } = answerCondition(state.rows, { run: run.id, record, answer: "yes" }, state.at);
  assert.equal(verdict.kind, "started");
  assert.deepEqual(endOf(state, run), ["cancelled", "Too late"]);
});

Deno.test("a run that was to be ended is not queued again if its owner has died", () => {
  const { state, run } = running();
  cancel(state, run, { replica: "two" });
  assert.deepEqual(reclaimRuns(state.rows, { of: ["two"] }, state.at), { queued: 0, more: false });
  assert.deepEqual(reclaimRuns(state.rows, { kept: ["one"] }, state.at), { queued: 0, more: false });
  assert.ok(state.rows.get("run", run.id));
  assert.deepEqual(reclaimRuns(state.rows, { of: ["one"] }, state.at), { queued: 0, more: false });
  assert.deepEqual(endOf(state, run), ["cancelled", "Too late"]);
});

Deno.test("the runs of one owner are queued again, those of others go on", () => {
  const state = new State();
  accept(state.rows, { arrivals: ["e1", "e2", "e3"].map((id) => arrival(id)), progress: [] }, state.at);
  for (const owner of ["one", "two", "three"]) claimRuns(state.rows, { owner, max: 1 }, state.at);
  assert.equal(reclaimRuns(state.rows, { of: ["two"] }, state.at).queued, 1);
  const states = () => [...state.rows.all("run")].map(([, { owner }]) => owner).sort();
  assert.deepEqual(states(), ["one", "three", undefined]);
  assert.equal(reclaimRuns(state.rows, { kept: ["three"] }, state.at).queued, 1);
  assert.deepEqual(states(), ["three", undefined, undefined]);
});
