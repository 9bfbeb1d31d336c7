import assert from "node:assert/strict";
import type { Form, FormAnswer } from "../../runtime/model/form.ts";
import type { Store, Wait } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  beginWait,
  claimIds,
  DAY,
  dropHistory,
  NOW,
  open,
  pruneAll,
  startRun,
  step,
  stepOf,
  storeTest,
  supersede,
  suspend,
} from "./helpers.ts";

type Asked = Extract<Wait, { kind: "form" }>["form"];

const fields: Form["fields"] = { decision: { type: "choice", required: true, choices: ["approve", "reject"] } };

function form(changes: Partial<Asked> = {}): Wait & { kind: "form" } {
  return { kind: "form", form: { id: "f1", title: "Refund?", to: ["finance"], fields, due: NOW + DAY, ...changes } };
}

const answer: FormAnswer = { values: { decision: "approve" }, by: "anna", at: NOW + 60, via: "page" };

/** A run suspended at a form. */
async function ask(store: Store, id: string, changes: Partial<Asked> = {}): Promise<string> {
  const run = await startRun(store, id);
  await beginWait(store, run, "approval", form({ id: `form of ${id}`, ...changes }), { due: NOW + 500 });
  await suspend(store, run, NOW + 500);
  return run;
}

storeTest("a form is open until its answer, which ends its step and claims the run at once", async (store) => {
  const run = await ask(store, "e1");
  const open: Form = {
    id: "form of e1",
    run,
    rule: "shop/pay",
    step: "approval",
    title: "Refund?",
    to: ["finance"],
    fields,
    createdAt: NOW,
    due: NOW + DAY,
    state: "open",
  };
  assert.deepEqual(await store.getForm("form of e1"), open);
  assert.deepEqual((await store.getRun(run))?.run.waits, [
    { step: "approval", kind: "form", what: 'form "Refund?" for finance', since: NOW, until: NOW + DAY },
  ]);
  const answered: Form = { ...open, state: "answered", answer };
  assert.deepEqual(await store.answerForm("form of e1", answer), { form: answered, accepted: true });
  assert.deepEqual(await claimIds(store, 9, NOW + 60), ["e1"]);
  const output = { decision: "approve", by: "anna", at: new Date(NOW + 60).toISOString() };
  const record = step("approval", { kind: "form", state: "succeeded", output, endedAt: NOW + 60 });
  assert.deepEqual(await stepOf(store, run, "approval"), record);
  assert.deepEqual((await store.getRun(run))?.notes, [
    { at: NOW + 60, text: 'Form "Refund?" answered by anna (page)', by: "anna" },
  ]);
});

storeTest("the first answer counts; a form that does not exist has none", async (store) => {
  await ask(store, "e1");
  const first = await store.answerForm("form of e1", answer);
  const second = await store.answerForm("form of e1", { ...answer, by: "carl" });
  assert.deepEqual(second, { form: first!.form, accepted: false });
  assert.equal(await store.answerForm("nothing", answer), undefined);
  assert.equal(await store.getForm("nothing"), undefined);
});

storeTest("an answer that comes at its due time or later finds the form expired", async (store) => {
  const run = await ask(store, "e1");
  const late = await store.answerForm("form of e1", { ...answer, at: NOW + DAY });
  assert.deepEqual([late?.accepted, late?.form.state, late?.form.answer], [false, "expired", undefined]);
  assert.equal((await stepOf(store, run, "approval"))?.state, "waiting", "its step ends by itself");
});

storeTest("escalation and reminders do not change the identity of a form", async (store) => {
  const run = await ask(store, "e1");
  await claimIds(store, 9, NOW + 500);
  const wider = form({ id: "form of e1", to: ["finance", "cfo"], due: NOW + 2 * DAY });
  const record = step("approval", { kind: "form", state: "waiting", due: NOW + 900 });
  await store.recordStep(run, record, { wait: wider }, NOW + 500);
  const now = (await store.getForm("form of e1"))!;
  assert.deepEqual([now.to, now.createdAt, now.due, now.state], [["finance", "cfo"], NOW, NOW + 2 * DAY, "open"]);
  assert.deepEqual((await store.getRun(run))?.run.waits, [
    { step: "approval", kind: "form", what: 'form "Refund?" for finance, cfo', since: NOW, until: NOW + 2 * DAY },
  ]);
  assert.equal((await store.listForms({ to: ["cfo"], limit: 9 })).length, 1);
  await store.recordStep(run, record, { wait: form({ id: "another" }) }, NOW + 600);
  assert.equal((await store.getForm("form of e1"))?.state, "cancelled", "a step asks one at a time");
});

storeTest("a step that has ended escalates no more, even if an escalation was in flight", async (store) => {
  const run = await ask(store, "e1");
  await claimIds(store, 9, NOW + 500);
  const ended = step("approval", { kind: "form", output: null, endedAt: NOW + 500 });
  await store.recordStep(run, ended, {}, NOW + 500);
  const wider = form({ id: "form of e1", to: ["finance", "cfo"] });
  const { record } = await store.recordStep(
    run,
    step("approval", { kind: "form", state: "waiting" }),
    { wait: wider },
    NOW + 501,
  );
  assert.deepEqual(record, ended);
  assert.equal((await store.getForm("form of e1"))?.state, "expired");
  assert.equal((await store.getRun(run))?.run.waits, undefined);
});

storeTest("a form expires with its step, and is cancelled with its step or run", async (store) => {
  const state = async (id: string) => (await store.getForm(`form of ${id}`))?.state;
  const expired = await ask(store, "e1");
  await store.recordStep(expired, step("approval", { kind: "form", output: null }), {}, NOW);
  const cancelled = await ask(store, "e2");
  await store.recordStep(cancelled, step("approval", { kind: "form", state: "cancelled" }), {}, NOW);
  const ended = await ask(store, "e3");
  await store.cancelRun(ended, "by anna", NOW);
  await ask(store, "e4");
  await store.answerForm("form of e4", answer);
  const failed = await ask(store, "e5");
  await store.finishRun(failed, { state: "failed", spent: 1 }, NOW);
  const states = await Promise.all(["e1", "e2", "e3", "e4", "e5"].map(state));
  assert.deepEqual(states, ["expired", "cancelled", "cancelled", "answered", "cancelled"]);
  assert.equal((await store.answerForm("form of e1", answer))?.accepted, false);
  assert.equal((await stepOf(store, ended, "approval"))?.state, "cancelled");
});

storeTest("forms are listed oldest first: by state, by whom they are for, by run; paged by `after`", async (store) => {
  const list = async (filter: Partial<Parameters<Store["listForms"]>[0]>) =>
    (await store.listForms({ limit: 9, ...filter })).map(({ id }) => id.slice("form of ".length));
  const runs = [];
  for (const [at, to] of [["finance"], ["anna", "finance"], ["cfo"], ["anna"]].entries()) {
    runs.push(await ask(store, `e${at}`, { to }));
  }
  await store.answerForm("form of e1", answer);
  assert.deepEqual(await list({}), ["e0", "e1", "e2", "e3"]);
  assert.deepEqual(await list({ state: "open" }), ["e0", "e2", "e3"]);
  assert.deepEqual(await list({ to: ["anna", "finance"] }), ["e0", "e1", "e3"]);
  assert.deepEqual(await list({ to: ["anna", "finance"], state: "open" }), ["e0", "e3"]);
  assert.deepEqual(await list({ to: ["anna", "finance"], limit: 2 }), ["e0", "e1"]);
  assert.deepEqual(await list({ to: ["anna", "finance"], limit: 2, after: "form of e1" }), ["e3"]);
  assert.deepEqual(await list({ limit: 2, after: "form of e0" }), ["e1", "e2"]);
  assert.deepEqual(await list({ run: runs[1] }), ["e1"]);
  assert.deepEqual(await list({ run: runs[1], to: ["cfo"] }), []);
  assert.deepEqual(await list({ run: runs[1], to: ["anna"], state: "answered" }), ["e1"]);
  assert.deepEqual(await list({ to: [] }), []);
  assert.deepEqual(await list({ after: "nothing" }), []);
});

storeTest("a form outlives its run and the run's history, for the lifetime of identities", async (store) => {
  const run = await ask(store, "e1");
  await dropHistory(store, NOW + 31 * DAY);
  assert.equal((await store.getForm("form of e1"))?.state, "open", "its run is live");
  await store.answerForm("form of e1", answer);
  await store.finishRun(run, { state: "succeeded", spent: 1 }, NOW + 60);
  await supersede(store, NOW + 61);
  await dropHistory(store, NOW + 30 * DAY - 1);
  assert.equal(await store.getRun(run), undefined);
  assert.equal((await store.getForm("form of e1"))?.state, "answered");
  assert.equal((await store.listForms({ to: ["finance"], limit: 9 })).length, 1);
  await pruneAll(store, {}, NOW + 30 * DAY);
  assert.equal(await store.getForm("form of e1"), undefined);
  assert.deepEqual(await store.listForms({ to: ["finance"], limit: 9 }), []);
});

Deno.test("an accepted answer survives a crash, and resumes the run", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const run = await ask(store, "e1");
  await store.checkpoint();
  assert.equal((await store.answerForm("form of e1", answer))?.accepted, true);
  disk.cut();
  const again = await open({ disk });
  assert.equal((await again.getForm("form of e1"))?.state, "answered");
  assert.deepEqual(await claimIds(again, 9, NOW + 60), ["e1"]);
  assert.equal((await stepOf(again, run, "approval"))?.state, "succeeded");
  await again.close();
});
