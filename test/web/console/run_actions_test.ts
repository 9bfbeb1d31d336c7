import assert from "node:assert/strict";
import type { Run } from "../../../runtime/model/run.ts";
import { actionsOf, type ActionSource } from "../../../runtime/web/console/run_actions.ts";
import { BEGAN, ruleOf, said, traceOf } from "./traces.ts";

function actions(run: Partial<Run>, more: Partial<ActionSource> = {}): Record<string, string> {
  const source = { trace: traceOf([], run), rule: ruleOf([]), current: "b2c4d5", failed: undefined, ...more };
  return Object.fromEntries(
    actionsOf(source).map((
      { label, effect, refused },
    ) => [label, refused === undefined ? said(effect) : `no: ${refused}`]),
  );
}

Deno.test("of a failed run one can retry from the failed step by its version, or replay all by the current one", () => {
  const shown = actions({ state: "failed" }, { failed: "pay" });
  assert.deepEqual(Object.keys(shown).slice(0, 2), ["Retry", "Replay"], "what can be done comes first");
  assert.equal(shown.Retry, "resumes with step pay, by version a1f3");
  assert.equal(shown.Replay, "repeats all steps in a new run, by the current version b2c4");
  assert.equal(shown.Cancel, "no: it has failed");
  assert.equal(shown.Move, "no: it has failed; replay it with the current version");
  assert.match(shown.Skip, /^no: none of its steps waits/);
});

Deno.test("each wait of a run can be skipped by itself", () => {
  const wait = { kind: "event" as const, what: "bank.booked", since: BEGAN };
  const trace = traceOf([], { state: "waiting", waits: [{ ...wait, step: "a" }, { ...wait, step: "b" }] });
  const skips = actionsOf({ trace, rule: ruleOf([]), current: "a1f3", failed: undefined }).filter(({ name }) =>
    name === "skip"
  );
  assert.deepEqual(skips.map(({ step, effect }) => [step, said(effect)]), [["a", "a ends with null"], [
    "b",
    "b ends with null",
  ]]);
  const explained = "Step b no longer waits for bank.booked: its result is null, and the run continues by version a1f3";
  assert.equal(said(skips[1].explained!), explained);
});

Deno.test("a run on the current version cannot be moved, nor one that is running", () => {
  assert.equal(actions({ state: "waiting" }, { current: "a1f3" }).Move, "no: it is on the current version");
  assert.match(actions({ state: "running" }).Move, /^no: it is running/);
  assert.equal(actions({ state: "waiting" }, { current: undefined }).Move, "no: its rule was removed");
});

Deno.test("without the rule and without its version a run can be neither retried nor replayed", () => {
  const shown = actions({ state: "failed" }, { rule: undefined, current: undefined });
  assert.match(shown.Retry, /^no: version a1f3 of its rule is no longer kept/);
  assert.match(shown.Replay, /^no: its rule was removed/);
});
