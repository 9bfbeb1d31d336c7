import assert from "node:assert/strict";
import { call } from "../../runtime/actions/call.ts";
import { emit, log, state } from "../../runtime/actions/emit_log_state.ts";
import { http } from "../../runtime/actions/http.ts";
import { actions } from "../../runtime/actions/index.ts";
import { mail } from "../../runtime/actions/mail.ts";
import { patch } from "../../runtime/actions/patch.ts";
import { reply } from "../../runtime/actions/reply.ts";
import { run } from "../../runtime/actions/run.ts";
import { taskInCode } from "../../runtime/actions/task.ts";
import * as sdk from "../../runtime/sdk/mod.ts";
import type {
  CallOptions,
  EmitOptions,
  HttpOptions,
  LogOptions,
  MailOptions,
  PatchOptions,
  ReplyOptions,
  RunOptions,
  StateOptions,
  StepOptions,
  TaskOptions,
} from "../../runtime/sdk/step.ts";
import type {
  CronOptions,
  EveryOptions,
  ManualOptions,
  PollOptions,
  TriggerOptions,
  WatchOptions,
  WebhookOptions,
} from "../../runtime/sdk/triggers.ts";
import { cron, every } from "../../runtime/triggers/cron_every_at.ts";
import { triggerKinds } from "../../runtime/triggers/index.ts";
import { manual } from "../../runtime/triggers/event_start_manual.ts";
import { poll } from "../../runtime/triggers/poll/poll.ts";
import { watch } from "../../runtime/triggers/watch.ts";
import { webhook } from "../../runtime/triggers/webhook.ts";
import { stepCalls } from "../../runtime/workers/step_calls.ts";

/** Options that only the function of the SDK takes, or only its kind. */
type Missing<Options, Common, Kind extends { options: object }> = Exclude<
  Exclude<keyof Options, keyof Common> | keyof Kind["options"],
  keyof Options & keyof Kind["options"]
>;

/** True if both take the same, else what one of them lacks: then this file does not compile. */
type Same<Options, Common, Kind extends { options: object }> = [Missing<Options, Common, Kind>] extends [never] ? true
  : Missing<Options, Common, Kind>;

const steps: {
  http: Same<HttpOptions, StepOptions, typeof http>;
  run: Same<RunOptions, StepOptions, typeof run>;
  call: Same<CallOptions, StepOptions, typeof call>;
  emit: Same<EmitOptions, StepOptions, typeof emit>;
  log: Same<LogOptions, StepOptions, typeof log>;
  mail: Same<MailOptions, StepOptions, typeof mail>;
  patch: Same<PatchOptions, StepOptions, typeof patch>;
  reply: Same<ReplyOptions, StepOptions, typeof reply>;
  state: Same<StateOptions, StepOptions, typeof state>;
  task: Same<TaskOptions, StepOptions, typeof taskInCode>;
} = {
  http: true,
  run: true,
  call: true,
  emit: true,
  log: true,
  mail: true,
  patch: true,
  reply: true,
  state: true,
  task: true,
};

const triggers: {
  cron: Same<CronOptions, TriggerOptions, typeof cron>;
  every: Same<EveryOptions, TriggerOptions, typeof every>;
  manual: Same<ManualOptions, TriggerOptions, typeof manual>;
  poll: Same<PollOptions & { headers?: unknown; auth?: unknown }, TriggerOptions, typeof poll>;
  watch: Same<WatchOptions, TriggerOptions, typeof watch>;
  webhook: Same<WebhookOptions, TriggerOptions, typeof webhook>;
} = { cron: true, every: true, manual: true, poll: true, watch: true, webhook: true };

Deno.test("every action has a function step.… that takes its options and no others", () => {
  const calls = stepCalls(() => Promise.reject(new Error("not called")), {} as never);
  const missing = Object.keys(actions).filter((kind) => !(kind in calls) || !(kind in steps));
  assert.deepEqual(missing, []);
});

Deno.test("every trigger has a function in the SDK, and those with options take these and no others", () => {
  const names = Object.keys(triggerKinds);
  assert.deepEqual(names.filter((kind) => !(kind in sdk)), []);
  const withOptions = names.filter((kind) => Object.keys(triggerKinds[kind].options).length > 0);
  assert.deepEqual(withOptions.toSorted(), Object.keys(triggers).toSorted());
});
