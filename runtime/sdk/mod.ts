/**
 * What rule files import: `import { poll, rule } from "whenthen"`.
 *
 * @module
 */
export { CursorExpired, RetryAfterError, TerminalError } from "../model/errors.ts";
export type { Event, HttpRequestFacts, SavedFile } from "../model/event.ts";
export type { Json, JsonObject } from "../model/json.ts";
export type { BatchData, BatchEvent, BatchOptions, TriggerDefinition } from "./trigger_definition.ts";
export type { AllResult, AnyResult, Branches, EachError, EachOptions, EachResult, SomeResult } from "./step.ts";
export type { ConfigField, ConfigSpec, ConfigValues, GivenInputs, InputValues } from "./fields.ts";
export type { Change, FileChange, TypedEvent, WebhookEvent } from "./event_data.ts";
export type { FormField, FormFields, FormOptions, FormResult } from "./fields.ts";
export type { Duration, Rate } from "./durations.ts";
export { rule } from "./rule.ts";
export type { RuleDefinition, RuleScope, RuleSpec } from "./rule.ts";
export { type } from "./event_data.ts";
export type { StandardSchema, TypeOnly } from "./event_data.ts";
export type * from "./generated/options.ts";
export * from "./generated/triggers.ts";
export type { MailResult, PatchResult, ReplyResult, RunResult, Step, TaskResults } from "./step.ts";
export type { TaskResult } from "../model/fleet.ts";
export { device, task } from "./device.ts";
export type { DeviceScope, DeviceSpec, SessionScope, TaskDefinition, TaskScope, TaskSpec } from "./device.ts";
export { action, source } from "./source.ts";
export type {
  ActionDefinition,
  ActionSpec,
  DeviceDefinition,
  Emit,
  Http,
  HttpResult,
  SourceDefinition,
  SourcePage,
  SourceScope,
  SourceSpec,
  SourceUse,
} from "./source.ts";
export { testRule } from "./test.ts";
export type { RuleTester, TestOptions } from "./test.ts";
export { event, manual, poll, watch, webhook } from "./triggers.ts";
export type { WaitForOptions, WaitOptions } from "./step.ts";
export type { Answering, Configuring, Expectation, Seen, Sending, Starting } from "../model/test.ts";
